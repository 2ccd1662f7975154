"""The order of samples as a function of (seed, epoch)."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from torch.utils.data import DistributedSampler, Sampler

from hatlite.errors import BuildError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["EpochBatchSampler", "EpochSampler", "FirstSampler", "build_distributed_sampler"]


class EpochSampler(Sampler[int]):
    """Indices 0 … length − 1, in order or in an order drawn from (seed, epoch).

    Args:
        length: Number of samples.
        shuffle: Draw a new order for every epoch.
        seed: 0 or above.
    """

    def __init__(self, length: int, *, shuffle: bool, seed: int) -> None:
        self.length = length
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        if not self.shuffle:
            return iter(range(self.length))
        return iter(np.random.default_rng((self.seed, self.epoch)).permutation(self.length).tolist())

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration follows."""
        self.epoch = epoch


class EpochBatchSampler(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index) pairs.

    The pair carries the epoch to workers that live on between epochs, without shared memory.

    Args:
        sampler: Yields indices; its `set_epoch` is called where it has one.
        batch_size: Samples in a batch.
        drop_last: Leave out a last batch that is not full.

    Attributes:
        share: (rank, count): yield the batches rank, rank + count, … alone; (0, 1) are all.
        split: (rank, count): yield the samples rank, rank + count, … of each global batch of `batch_size` · count
            samples, so that what `count` processes yield together is what one yields with the global batch; (0, 1) are
            all. A last batch with fewer samples than processes lends its samples to those that would have none.
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.epoch = 0
        self.start_step = 0
        self.share = (0, 1)
        self.split = (0, 1)

    @property
    def global_batch_size(self) -> int:
        """Samples that all processes together take for one batch of each."""
        return self.batch_size * self.split[1]

    def set_epoch(self, epoch: int, start_step: int = 0) -> None:
        """Choose the epoch that the next iterations yield, from step `start_step` on (to resume inside an epoch)."""
        self.epoch = epoch
        self.start_step = start_step
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch, shared or not; of global ones where they are split."""
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.global_batch_size if self.drop_last else -(-count // self.global_batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        pairs = ((self.epoch, int(index)) for index in self.sampler)
        batches = iter(lambda: list(islice(pairs, self.global_batch_size)), [])
        rank, count = self.share
        whole = islice(batches, rank + self.start_step * count, len(self), count)
        return map(self._own, whole)

    def _own(self, batch: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the samples of a global batch that are this process's."""
        rank, count = self.split
        return batch[rank::count] or [batch[rank % len(batch)]]


@OBJECT_REGISTRY.register
class FirstSampler(Sampler[int]):
    """The first samples of a data set, in order.

    Args:
        dataset: The data set.
        count: How many, if it has as many; 1 or more.
        seed: Ignored: there is one order. Accepted because loaders give it to every sampler.

    Raises:
        BuildError: `count` is less than 1.
    """

    def __init__(self, dataset: Any, count: int, seed: int = 0) -> None:
        if count < 1:
            raise BuildError(f"FirstSampler: count is {count}; expected at least 1.")
        self.indices = range(min(count, len(dataset)))

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)


@OBJECT_REGISTRY.adapt(DistributedSampler)
def build_distributed_sampler(
    *,
    dataset: Any,
    num_replicas: int | None = None,
    rank: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
    drop_last: bool = False,
) -> DistributedSampler:
    """Build ``torch.utils.data.DistributedSampler`` over all samples, as if there were one process.

    Its order is a function of (seed, epoch). The loader shares it out (:attr:`EpochBatchSampler.split`): process r of n
    takes the samples r, r + n, …, which are those that n samplers would have given it, except that none is repeated
    to make the shares equal. With `num_replicas` and `rank` of its own it is one of several, and nothing is shared
    further.
    """
    if num_replicas is None and rank is None:
        num_replicas, rank = 1, 0
    return DistributedSampler(dataset, num_replicas, rank, shuffle, seed, drop_last)
