"""The order of samples as a function of (seed, epoch)."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch.distributed
from torch.utils.data import DistributedSampler, Sampler

from hatlite.registry import OBJECT_REGISTRY

__all__ = ["EpochBatchSampler", "EpochSampler", "build_distributed_sampler"]


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
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.epoch = 0
        self.start_step = 0
        self.share = (0, 1)

    def set_epoch(self, epoch: int, start_step: int = 0) -> None:
        """Choose the epoch that the next iterations yield, from step `start_step` on (to resume inside an epoch)."""
        self.epoch = epoch
        self.start_step = start_step
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch, shared or not."""
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        pairs = ((self.epoch, int(index)) for index in self.sampler)
        batches = iter(lambda: list(islice(pairs, self.batch_size)), [])
        rank, count = self.share
        return islice(batches, rank + self.start_step * count, len(self), count)


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
    """Build ``torch.utils.data.DistributedSampler``; without a process group it is one replica with rank 0."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        num_replicas = 1 if num_replicas is None else num_replicas
        rank = 0 if rank is None else rank
    return DistributedSampler(dataset, num_replicas, rank, shuffle, seed, drop_last)
