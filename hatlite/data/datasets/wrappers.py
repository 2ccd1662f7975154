"""Data sets made of data sets."""

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from hatlite import class_names
from hatlite.data.datasets.base import DetectionDataset, Sample, Transform
from hatlite.data.datasets.record import ImageRecord
from hatlite.errors import DataError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["BatchTransformDataset", "ConcatDataset", "RepeatDataset", "ResampleDataset"]


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
class ResampleDataset(_Wrapper):
    """Every `resample_interval`-th image of a data set: makes it smaller.

    Args:
        dataset: What is thinned out; its first image stays.
        resample_interval: At least 1.

    Raises:
        DataError: `resample_interval` is less than 1.
    """

    declined_keys: ClassVar = {"with_flag": "no sampler here groups pictures by a flag; leave it out."}

    def __init__(
        self, dataset: DetectionDataset, resample_interval: int = 1, transforms: Sequence[Transform] | None = None
    ) -> None:
        if resample_interval < 1:
            raise DataError(f"ResampleDataset: resample_interval is {resample_interval}; expected at least 1.")
        super().__init__(dataset.classes, transforms)
        self.dataset = dataset
        self.resample_interval = resample_interval

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.resample_interval)

    def locate(self, index: int) -> tuple[DetectionDataset, int]:
        """Return the data set, and the index there."""
        return self.dataset, range(len(self))[index] * self.resample_interval


@OBJECT_REGISTRY.register
class BatchTransformDataset(_Wrapper):
    """A data set whose transforms change with the epoch, such as Mosaic and MixUp for all epochs but the last ones.

    Args:
        dataset: Its own transforms come first, in every epoch.
        transforms_cfgs: Lists of transforms, one more than there are `epoch_steps`.
        epoch_steps: Rising epochs, counted from 0, with which the next list takes over: ``[285]`` gives the first list
            285 epochs.

    Raises:
        DataError: The numbers of lists and steps do not fit, or the steps do not rise from 1 on.
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        transforms_cfgs: Sequence[Sequence[Transform]],
        epoch_steps: Sequence[int],
    ) -> None:
        if len(transforms_cfgs) != len(epoch_steps) + 1:
            raise DataError(
                f"BatchTransformDataset: {len(transforms_cfgs)} lists of transforms_cfgs stand beside"
                f" {len(epoch_steps)} epoch_steps; expected one list more than steps."
            )
        if list(epoch_steps) != sorted(set(epoch_steps)) or (epoch_steps and epoch_steps[0] < 1):
            raise DataError(
                f"BatchTransformDataset: epoch_steps is {list(epoch_steps)}; expected rising epochs, the first above 0."
            )
        super().__init__(dataset.classes, transforms_cfgs[0])
        self.dataset = dataset
        self.phases = [list(transforms) for transforms in transforms_cfgs]
        self.epoch_steps = list(epoch_steps)

    def __len__(self) -> int:
        return len(self.dataset)

    def locate(self, index: int) -> tuple[DetectionDataset, int]:
        """Return the data set, and the same index."""
        return self.dataset, range(len(self))[index]

    def annotations(self) -> dict:
        """Return the ground truth of the data set."""
        return self.dataset.annotations()

    def set_epoch(self, epoch: int) -> None:
        """Take the transforms of `epoch`."""
        super().set_epoch(epoch)
        self.transforms = self.phases[bisect_right(self.epoch_steps, epoch)]


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
            ours, theirs = (f"datasets[{one}]" for one in (number, 0))
            if differs := class_names.difference(dataset.classes, datasets[0].classes, ours, theirs):
                raise DataError(
                    f"ConcatDataset: {differs}; a label would mean two things. Give all data sets the same classes in"
                    " the same order."
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
