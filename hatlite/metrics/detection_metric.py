"""What detection metrics have in common: ground truth, and detections that fit it, image by image."""

import contextlib
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pycocotools.coco import COCO

from hatlite import class_names
from hatlite.errors import DataError, DataNotFoundError
from hatlite.log import get_logger
from hatlite.structures import Detections

__all__ = ["Annotated", "DetectionMetric", "indexed"]

logger = get_logger(__name__)


class Annotated(Protocol):
    """A data set that knows its ground truth."""

    def annotations(self) -> dict[str, list[dict[str, Any]]]:
        """Return the ground truth in COCO's form."""
        ...


def indexed(content: dict[str, Any]) -> COCO:
    """Return annotations in COCO's form as pycocotools takes them, without what it prints."""
    coco = COCO()
    coco.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _read(ann_file: str | Path, kind: str) -> COCO:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(ann_file))
        if missing := {"images", "annotations", "categories"} - set(truth.dataset):
            raise KeyError(", ".join(sorted(missing)))
        return truth
    except OSError as cause:
        raise DataNotFoundError(f"{kind}: ann_file {ann_file} cannot be read: {cause.strerror}.") from cause
    except (ValueError, AssertionError, KeyError, TypeError) as cause:
        raise DataError(f"{kind}: ann_file {ann_file} holds no COCO annotations ({cause}).") from cause


class DetectionMetric(ABC):
    """Collects the detections of every image; :meth:`compute` compares them with the objects.

    Label k stands for the category with the k-th smallest id. An image that was never evaluated does not count, and
    :meth:`check_covered` says so.

    Args:
        ann_file: COCO annotations.
        dataset: Or: a data set with ``annotations()``. With neither, :meth:`bind` must be called before :meth:`update`.

    Raises:
        DataNotFoundError: There is no file `ann_file`.
        DataError: `ann_file` is not in COCO's form, or both are given.
    """

    def __init__(self, ann_file: str | Path | None = None, dataset: Annotated | None = None) -> None:
        self._kind = type(self).__name__
        if ann_file is not None and dataset is not None:
            raise DataError(f"{self._kind} takes its ground truth from ann_file or from dataset, not from both.")
        self._dataset: Annotated | None = dataset
        self._truth: COCO | None = None if ann_file is None else _read(ann_file, self._kind)
        self.reset()

    def reset(self) -> None:
        """Forget all detections."""
        self._results: dict[int, Any] = {}

    def bind(self, dataset: Annotated) -> None:
        """Take the ground truth from `dataset`, unless the constructor was given one, which must fit it then.

        Raises:
            DataError: The categories of `ann_file` are not the classes of `dataset`, in this order.
        """
        if self._truth is None and self._dataset is None:
            self._dataset = dataset
        classes = list(getattr(dataset, "classes", ()))
        if self._truth is None or not classes:
            return
        names = [self._truth.cats[i]["name"] for i in sorted(self._truth.getCatIds())]
        if differs := class_names.difference(names, classes, "ann_file", type(dataset).__name__):
            raise DataError(
                f"{self._kind}: {differs}; a label would mean two things. Name the annotations of this data set, whose"
                " categories are its classes in the order of their ids."
            )

    @property
    def truth(self) -> COCO:
        """The ground truth.

        Raises:
            DataError: There is none.
        """
        if self._truth is None:
            if self._dataset is None:
                raise DataError(f"{self._kind} has no ground truth; give it ann_file or dataset, or call bind().")
            self._truth = indexed(self._dataset.annotations())
        return self._truth

    def update(self, batch: Mapping[str, Any], detections: Sequence[Detections]) -> None:
        """Add the detections of a batch.

        Args:
            batch: `img_id` names the images.
            detections: One per image, in pixels of the original image.

        Raises:
            DataError: The numbers of images differ, an image is unknown or was evaluated before, a label has no
                category, or a value is not finite.
        """
        ids = [int(i) for i in batch["img_id"]]
        if len(ids) != len(detections):
            raise DataError(f"{self._kind}: {len(detections)} detections came for {len(ids)} images.")
        for img_id, found in zip(ids, detections, strict=True):
            self._check(img_id, found)
            self._results[img_id] = self.entries(img_id, found)

    def _check(self, img_id: int, found: Detections) -> None:
        categories = len(self.truth.getCatIds())
        if img_id in self._results:
            raise DataError(
                f"Image {img_id} was evaluated twice; call reset() between runs and let no sampler repeat it."
            )
        if img_id not in self.truth.imgs:
            raise DataError(f"Image {img_id} is not in the ground truth; the annotations belong to another data set.")
        if len(found) and not 0 <= int(found.labels.min()) <= int(found.labels.max()) < categories:
            raise DataError(
                f"Image {img_id} has labels {int(found.labels.min())}…{int(found.labels.max())}, but the ground truth "
                f"has {categories} categories; num_classes does not fit the data set."
            )
        if not (found.boxes.isfinite().all() and found.scores.isfinite().all()):
            raise DataError(f"Image {img_id} has detections that are not finite; the network's outputs are broken.")

    def check_covered(self) -> None:
        """Say how many images were evaluated, should some be missing.

        Raises:
            DataError: No image was evaluated.
        """
        if not self._results:
            raise DataError(f"{self._kind}: no image was evaluated; call update() before compute().")
        if len(self._results) < len(self.truth.imgs):
            logger.warning("The metric covers %d of %d images.", len(self._results), len(self.truth.imgs))

    @abstractmethod
    def entries(self, img_id: int, found: Detections) -> Any:
        """Return what is kept of the detections of one image."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Return the metrics of the images seen since :meth:`reset`, all in 0…1.

        Raises:
            DataError: No image was evaluated.
        """
