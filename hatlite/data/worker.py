"""What happens inside a worker process: reproducible samples, and errors that travel as values.

An exception that leaves a worker comes out of torch as a traceback in a string. A `HatliteError` is therefore caught
here, handed over in place of the batch, and raised again by the loader in the main process, as it was.
"""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from hatlite.data.transforms.sample import Sample
from hatlite.errors import HatliteError

__all__ = ["CatchingCollate", "Failure", "SeededDataset", "start_worker"]


@dataclass
class Failure:
    """A `HatliteError` on its way to the main process."""

    error: HatliteError

    def release(self) -> HatliteError:
        """Hand out the error and forget it.

        Where it is raised, its traceback refers to the frame and the frame to this object. If this object still held
        the error, the cycle would keep the loader alive, and collecting it late makes its workers wait for seconds.
        """
        error = self.error
        del self.error
        return error


class SeededDataset(Dataset):
    """A data set asked by (epoch, index), with a generator made from (seed, epoch, index).

    Args:
        dataset: Has ``__len__`` and ``get(index, rng) -> sample``; is told the epoch where it has ``set_epoch(epoch)``.
        seed: 0 or above.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: tuple[int, int]) -> Sample | Failure:
        epoch, index = draw
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)
        try:
            return self.dataset.get(index, np.random.default_rng((self.seed, epoch, index)))
        except HatliteError as error:
            return Failure(error)

    @property
    def classes(self) -> list[str]:
        """Class names of the data set."""
        return self.dataset.classes


class CatchingCollate:
    """Collate samples; the first failure among them, or that of collating, takes the place of the batch."""

    def __init__(self, collate_fn: Callable[[Sequence[Sample]], Any]) -> None:
        self.collate_fn = collate_fn

    def __call__(self, samples: Sequence[Sample | Failure]) -> Any:
        loaded = []
        for sample in samples:
            if isinstance(sample, Failure):
                return sample
            loaded.append(sample)
        try:
            return self.collate_fn(loaded)
        except HatliteError as error:
            return Failure(error)


def start_worker(worker_id: int) -> None:
    """Prepare a worker process: one thread each, and Ctrl-C is left to the main process, which finishes its step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
