"""``dict(type=torch.utils.data.DataLoader, …)`` becomes a loader that is reproducible sample by sample.

The order of samples is a function of (seed, epoch), the augmentation of a sample a function of (seed, epoch, index);
the number of workers changes neither. Call :func:`set_epoch` before each epoch of training.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, DistributedSampler

from hatlite.data.collate import Collate2D
from hatlite.data.sampler import EpochBatchSampler, EpochSampler
from hatlite.data.worker import CatchingCollate, Failure, SeededDataset, start_worker
from hatlite.errors import BuildError, DataError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["EpochLoader", "build_data_loader", "set_epoch", "share_batches", "split_batches", "whole_batches"]


class EpochLoader(DataLoader):
    """A DataLoader that raises the errors of its workers as they were.

    Its `dataset` is a :class:`~hatlite.data.worker.SeededDataset` around the config's (``loader.dataset.dataset``), its
    `batch_sampler` an :class:`~hatlite.data.sampler.EpochBatchSampler`.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, Failure):
                raise batch.release()
            yield batch


def set_epoch(loader: DataLoader, epoch: int, start_step: int = 0) -> None:
    """Choose the epoch that the next iteration of `loader` yields.

    Args:
        loader: Made by :func:`build_data_loader`.
        epoch: Number of the epoch, from 0.
        start_step: Batches of this epoch to leave out, to resume inside it.
    """
    loader.batch_sampler.set_epoch(epoch, start_step)  # type: ignore[union-attr]


def share_batches(loader: DataLoader, rank: int, count: int) -> None:
    """Let the next iterations of `loader` yield every `count`-th batch, from number `rank` on; its length stays.

    Args:
        loader: Made by :func:`build_data_loader`.
        rank: Number of this process, from 0.
        count: Processes that share the batches.

    Raises:
        DataError: Its sampler shares out images already.
    """
    if count > 1:
        _refuse_replicas(loader)
    loader.batch_sampler.share = (rank, count)  # type: ignore[union-attr]


def split_batches(loader: DataLoader, rank: int, count: int) -> None:
    """Let `loader` yield this process's samples of every global batch, which is `count` times as large as its own.

    Args:
        loader: Made by :func:`build_data_loader`. Its length becomes that in global batches. One whose sampler shares
            out the samples already stays as it is.
        rank: Number of this process, from 0.
        count: Processes that train together.

    Raises:
        DataError: It is no such loader.
    """
    if count == 1:
        return
    if not isinstance(getattr(loader, "batch_sampler", None), EpochBatchSampler):
        raise DataError(
            f"{type(loader).__name__} cannot be shared out among {count} processes; use a"
            " dict(type=torch.utils.data.DataLoader, …) in the config."
        )
    if not _has_replicas(loader.batch_sampler.sampler):
        loader.batch_sampler.split = (rank, count)


@contextmanager
def whole_batches(loader: Any, rank: int, count: int) -> Iterator[Iterator[Any]]:
    """Give every `count`-th batch of `loader`, from `rank` on, each of them whole, and leave the loader as it was.

    Args:
        loader: Made by :func:`build_data_loader`; any other iterable is gone through and every `count`-th kept.
        rank: Number of this process, from 0.
        count: Processes that share the batches.
    """
    batches = getattr(loader, "batch_sampler", None)
    if count == 1 or not isinstance(batches, EpochBatchSampler):
        yield islice(loader, rank, None, count)
        return
    before = batches.share, batches.split
    share_batches(loader, rank, count)
    batches.split = (0, 1)
    try:
        yield iter(loader)
    finally:
        batches.share, batches.split = before


def _has_replicas(sampler: Any) -> bool:
    return isinstance(sampler, DistributedSampler) and sampler.num_replicas > 1


def _refuse_replicas(loader: DataLoader) -> None:
    sampler = loader.batch_sampler.sampler  # type: ignore[union-attr]
    if _has_replicas(sampler):
        raise DataError(
            f"DataLoader: its DistributedSampler has shared out the images among {sampler.num_replicas} processes"
            " before their batches can be; leave num_replicas and rank out of it."
        )


@OBJECT_REGISTRY.adapt(DataLoader)
def build_data_loader(
    *,
    dataset: Any,
    batch_size: int = 1,
    shuffle: bool = False,
    sampler: Mapping[str, Any] | Iterable[int] | None = None,
    num_workers: int = 0,
    collate_fn: Callable[[Any], Any] | None = None,
    pin_memory: bool = False,
    drop_last: bool = False,
    seed: int = 0,
) -> EpochLoader:
    """Build the loader that a ``torch.utils.data.DataLoader`` config describes.

    Args:
        dataset: Has ``__len__``, ``get(index, rng) -> sample`` and `classes`.
        batch_size: Samples in a batch.
        shuffle: Draw a new order for every epoch; only without a `sampler`, which has an order of its own.
        sampler: Config of a sampler, to which `dataset` and `seed` are added; or a ready sampler.
        num_workers: Processes that load; at most one per CPU core is started. They live as long as the loader.
        collate_fn: Makes a batch of a list of samples; :class:`Collate2D` if None.
        pin_memory: Copy batches to page-locked memory, where there is a CUDA device.
        drop_last: Leave out a last batch that is not full.
        seed: 0 or above.

    Raises:
        BuildError: Arguments that do not go together.
        DataError: The data set yields no batch.
    """
    _check(batch_size=batch_size, num_workers=num_workers, seed=seed, dataset=dataset)
    if shuffle and sampler is not None:
        raise BuildError(
            "DataLoader: shuffle is True and there is a sampler, which decides the order; remove one of them."
        )
    order = _build_sampler(sampler, dataset, shuffle=shuffle, seed=seed)
    batches = EpochBatchSampler(order, batch_size, drop_last)
    if not len(batches):
        raise DataError(_no_batch(dataset, batch_size))
    workers = min(num_workers, _cpu_count())
    return EpochLoader(
        SeededDataset(dataset, seed),
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=CatchingCollate(collate_fn or Collate2D()),
        pin_memory=pin_memory and torch.cuda.is_available(),
        worker_init_fn=start_worker,
        generator=torch.Generator().manual_seed(seed),  # else every epoch would draw from torch's global generator
        persistent_workers=workers > 0,
    )


build_data_loader.build_later = {"sampler": ("dataset", "seed")}  # type: ignore[attr-defined]
build_data_loader.declined_keys = {  # type: ignore[attr-defined]
    "persistent_workers": "workers live as long as the loader; leave it out.",
    "batch_sampler": "give it a sampler, and batch_size and drop_last.",
    "worker_init_fn": "samples draw from (seed, epoch, index), so workers have nothing to begin with; leave it out.",
}


def _check(*, batch_size: int, num_workers: int, seed: int, dataset: Any) -> None:
    for key, value, least in (("batch_size", batch_size, 1), ("num_workers", num_workers, 0), ("seed", seed, 0)):
        if not isinstance(value, int) or value < least:
            raise BuildError(f"DataLoader: {key} is {value!r}; expected a whole number, {least} or above.")
    if not hasattr(dataset, "get"):
        raise BuildError(
            f"DataLoader: {type(dataset).__name__} has no method get(index, rng); "
            "derive it from hatlite.data.datasets.base.DetectionDataset."
        )


def _build_sampler(sampler: Any, dataset: Any, *, shuffle: bool, seed: int) -> Iterable[int]:
    if sampler is None:
        return EpochSampler(len(dataset), shuffle=shuffle, seed=seed)
    if not isinstance(sampler, Mapping):
        return sampler
    parts = {"dataset": dataset, "seed": sampler.get("seed", seed)}
    return OBJECT_REGISTRY.build(sampler, path="['sampler']", **parts)


def _no_batch(dataset: Any, batch_size: int) -> str:
    name, count = type(dataset).__name__, len(dataset)
    if not count:
        return f"DataLoader: the data set {name} is empty; check its path and its annotation file."
    return f"DataLoader: {name} has {count} images, no full batch of {batch_size}; lower it or set drop_last=False."


def _cpu_count() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
