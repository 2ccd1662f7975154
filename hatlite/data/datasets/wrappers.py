"""Data sets made of data sets."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from hatlite.data.datasets.base import DetectionDataset, Sample, Transform
from hatlite.data.datasets.record import ImageRecord
from hatlite.errors import DataError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["ConcatDataset", "RepeatDataset"]


class _Wrapper(DetectionDataset):
    """Sends every request to a part; own transforms follow those of the part."""

    @abstractmethod
    def locate(self, index: int) -> tuple[DetectionDataset, int]:
        """Return the part that holds image `index`, and its index there."""

    def record(self, index: int) -> ImageRecord:
        """Return what is annotated about image `index`."""
        part, inner = self.locate(index)
        return part.record(inner)

    def read(self, index: int) -> tuple[ImageRecord, bytes]:
        """Return the record of image `index` and the bytes of its file."""
        part, inner = self.locate(index)
        return part.read(inner)

    def begin(self, index: int, rng: np.random.Generator) -> Sample:
        """Return image `index` after the transforms of its part."""
        part, inner = self.locate(index)
        part.set_epoch(self.epoch)
        return part.get(inner, rng)


@OBJECT_REGISTRY.register
class RepeatDataset(_Wrapper):
    """A data set, `times` times over: makes short epochs longer.

    Args:
        dataset: What is repeated.
        times: At least 1.

    Raises:
        DataError: `times` is less than 1.
    """

    def __init__(self, dataset: DetectionDataset, times: int, transforms: Sequence[Transform] | None = None) -> None:
        if times < 1:
            raise DataError(f"RepeatDataset: times is {times}; expected at least 1.")
        super().__init__(dataset.classes, transforms)
        self.dataset = dataset
        self.times = times

    def __len__(self) -> int:
        return self.times * len(self.dataset)

    def locate(self, index: int) -> tuple[DetectionDataset, int]:
        """Return the data set, and the index within one repetition."""
        return self.dataset, range(len(self))[index] % len(self.dataset)

    def annotations(self) -> dict:
        """Return the ground truth of one repetition."""
        return self.dataset.annotations()


@OBJECT_REGISTRY.register
class ConcatDataset(_Wrapper):
    """Several data sets of the same classes, one after the other.

    Args:
        datasets: At least one.

    Raises:
        DataError: There is none, or their classes differ.
    """

    def __init__(self, datasets: Sequence[DetectionDataset], transforms: Sequence[Transform] | None = None) -> None:
        if not datasets:
            raise DataError("ConcatDataset: datasets is empty; expected at least one.")
        for number, dataset in enumerate(datasets):
            if dataset.classes != datasets[0].classes:
                raise DataError(
                    f"ConcatDataset: datasets[{number}] has the classes {dataset.classes} where datasets[0] has "
                    f"{datasets[0].classes}; a label would mean two things."
                )
        super().__init__(datasets[0].classes, transforms)
        self.datasets = list(datasets)
        self._ends = np.cumsum([len(dataset) for dataset in datasets])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def locate(self, index: int) -> tuple[DetectionDataset, int]:
        """Return the data set in which image `index` falls, and its index there."""
        index = range(len(self))[index]
        part = int(np.searchsorted(self._ends, index, side="right"))
        return self.datasets[part], index - int(self._ends[part]) + len(self.datasets[part])
