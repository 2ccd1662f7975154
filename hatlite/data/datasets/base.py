"""What every detection data set offers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from hatlite import class_names
from hatlite.data.datasets.record import ImageRecord
from hatlite.data.datasets.report import DataReport
from hatlite.data.transforms.join import JoinTransform
from hatlite.data.transforms.sample import Sample, Transform
from hatlite.errors import DataError
from hatlite.log import get_logger

__all__ = ["DetectionDataset", "Sample", "Transform"]

logger = get_logger(__name__)


class DetectionDataset(Dataset, ABC):
    """Images with boxes.

    A subclass implements `__len__`, :meth:`record` and :meth:`read`.

    Args:
        classes: Names of the classes; a label is an index into them.
        transforms: Callables ``transform(sample, rng) -> sample``, applied in order; one that joins pictures
            (:class:`~hatlite.data.transforms.join.JoinTransform`) gets others of this data set.
        report: What was clipped or left out.

    Raises:
        DataError: There is no class, one twice, or one that is no string.
    """

    epoch = 0

    def __init__(
        self, classes: Sequence[str], transforms: Sequence[Transform] | None = None, report: DataReport | None = None
    ) -> None:
        if not classes:
            raise DataError(f"{type(self).__name__}: the annotations name no class; expected at least one.")
        class_names.require_names(classes, type(self).__name__)
        if twice := class_names.repeated(classes):
            raise DataError(
                f"{type(self).__name__}: there is more than one class {class_names.shown(twice)}; a label could not say"
                " which, so give each a name of its own."
            )
        self.classes = list(classes)
        self.transforms = list(transforms or ())
        self.report = report or DataReport()
        if self.report:
            logger.warning("%s: %s", type(self).__name__, str(self.report).replace("\n", "; "))

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abstractmethod
    def record(self, index: int) -> ImageRecord:
        """Return what is annotated about image `index`."""

    @abstractmethod
    def read(self, index: int) -> tuple[ImageRecord, bytes]:
        """Return the record of image `index` and the bytes of its file."""

    def load(self, index: int) -> Sample:
        """Return image `index` before any transform.

        Returns:
            `img` (H, W, 3) uint8 RGB; `gt_bboxes` (N, 4) float32 xyxy pixels; `gt_classes` (N,) int64, −1 = ignore;
            `img_id`; `img_name`; `orig_size` (height, width); `matrix` (3, 3) float64, the identity.

        Raises:
            DataError: The image is unreadable, or is not as large as the annotation says.
        """
        record, data = self.read(index)
        return {
            "img": record.decode(data),
            "gt_bboxes": record.boxes.copy(),
            "gt_classes": record.classes,
            "img_id": record.img_id,
            "img_name": record.name,
            "orig_size": (record.height, record.width),
            "matrix": np.eye(3),
        }

    def get(self, index: int, rng: np.random.Generator) -> Sample:
        """Return image `index` after all transforms, whose chances come from `rng`."""
        return self._transformed(index, rng, len(self.transforms))

    def begin(self, index: int, rng: np.random.Generator) -> Sample:
        """Return what the transforms of this data set start from."""
        return self.load(index)

    def _transformed(self, index: int, rng: np.random.Generator, count: int) -> Sample:
        """Return image `index` after the first `count` transforms."""
        sample = self.begin(index, rng)
        for number, transform in enumerate(self.transforms[:count]):
            if not isinstance(transform, JoinTransform):
                sample = transform(sample, rng)
            elif wanted := transform.wanted(self.epoch, rng):
                others = [self._transformed(int(rng.integers(len(self))), rng, number) for _ in range(wanted)]
                sample = transform.join([sample, *others], rng)
        return sample

    def set_epoch(self, epoch: int) -> None:
        """Say to which epoch the next samples belong; :class:`~hatlite.data.worker.SeededDataset` does it for each."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> Sample:
        """Return image `index` after all transforms, with a generator of seed 0."""
        return self.get(index, np.random.default_rng(0))

    def annotations(self) -> dict[str, list[dict[str, Any]]]:
        """Return the ground truth in COCO's form, after cleaning.

        Returns:
            `images`, `annotations` (`bbox` as x, y, width, height; `iscrowd`; `ignore`) and `categories`, whose ids are
            the class indices plus 1.

        Raises:
            DataError: Two images share an id.
        """
        images: list[dict[str, Any]] = []
        boxes: list[dict[str, Any]] = []
        seen: set[int] = set()
        for record in map(self.record, range(len(self))):
            if record.img_id in seen:
                raise DataError(
                    f"Two images of the data set have the id {record.img_id}; evaluation needs unique ids. Evaluate one"
                    " data set alone, or joined ones as one COCO annotation file."
                )
            seen.add(record.img_id)
            images.append(_image_entry(record))
            boxes += _box_entries(record, first_id=len(boxes) + 1)  # COCOeval takes id 0 for "no match"
        categories = [{"id": i, "name": name} for i, name in enumerate(self.classes, 1)]
        return {"images": images, "annotations": boxes, "categories": categories}


def _image_entry(record: ImageRecord) -> dict[str, Any]:
    return {"id": record.img_id, "file_name": record.name, "height": record.height, "width": record.width}


def _box_entries(record: ImageRecord, first_id: int) -> list[dict[str, Any]]:
    values = record.to_dict()
    columns = (values[key] for key in ("boxes", "labels", "areas", "crowd", "ignore"))
    return [
        {
            "id": first_id + i,
            "image_id": record.img_id,
            "category_id": label + 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": area,
            "iscrowd": int(crowd),
            "ignore": int(ignore),
        }
        for i, ((x1, y1, x2, y2), label, area, crowd, ignore) in enumerate(zip(*columns, strict=True))
    ]
