"""Average precision as Pascal VOC measures it.

Everingham et al., The Pascal Visual Object Classes (VOC) Challenge, IJCV 2010, section 4.2.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hatlite.errors import BuildError
from hatlite.log import get_logger
from hatlite.metrics.detection_metric import Annotated, DetectionMetric
from hatlite.registry import OBJECT_REGISTRY
from hatlite.structures import Detections

__all__ = ["ClassResult", "VOC07MApMetric", "VOCMApMetric", "average_precision", "table"]

logger = get_logger(__name__)

AP_MODES = ("area", "11points")
COLUMNS = ("class", "gts", "dets", "recall", "AP")


@dataclass(frozen=True)
class ClassResult:
    """What one class came to.

    Attributes:
        name: Of the class.
        gts: Objects that are to be found; difficult ones are not among them.
        dets: Detections, those of difficult objects included.
        recall: Part of the objects that were found; NaN where there is none.
        ap: Average precision; NaN where there is no object.
    """

    name: str
    gts: int
    dets: int
    recall: float
    ap: float


class _Found(NamedTuple):
    """Detections of one class in one image, (D,) each: score, best IoU with an object, its number in the image."""

    scores: NDArray[np.float64]
    iou: NDArray[np.float64]
    best: NDArray[np.int64]


@OBJECT_REGISTRY.register
class VOCMApMetric(DetectionMetric):
    """Mean over classes of the average precision at one IoU, and a table of all classes.

    By score, a detection takes the object of its class in its image that it overlaps most: it is right if their IoU is
    at least `iou_threshold` and none with a higher score took that object. If the object is difficult (or a crowd), the
    detection counts neither way.

    Args:
        ann_file: COCO annotations.
        dataset: Or: a data set with ``annotations()``. With neither, :meth:`bind` must be called before :meth:`update`.
        iou_threshold: 0…1.
        mode: ``area`` is the area below the curve, as VOC measures since 2010, ``11points`` the mean over the recalls
            0, 0.1 … 1 of VOC 2007.
        legacy_widths: Count the sides of a box as ``x2 − x1 + 1``. VOC's own edges are pixels, both of which belong to
            the box; here edges lie between pixels, so that ``x2 − x1`` already is VOC's width. True measures as tools
            do that add the pixel to such edges too.
        prefix: What the names of the values begin with, such as ``VOC_``; beside a COCODetectionMetric, whose mAP is
            another one, it keeps the two apart.

    Raises:
        DataNotFoundError: There is no file `ann_file`.
        DataError: `ann_file` is not in COCO's form, or both are given.
        BuildError: `mode` is unknown, or `iou_threshold` is outside its range.
    """

    def __init__(
        self,
        ann_file: str | Path | None = None,
        dataset: Annotated | None = None,
        *,
        iou_threshold: float = 0.5,
        mode: str = "area",
        legacy_widths: bool = False,
        prefix: str = "",
    ) -> None:
        if mode not in AP_MODES:
            raise BuildError(f"VOCMApMetric: mode is {mode!r}; expected one of {', '.join(AP_MODES)}.")
        if not 0 < iou_threshold <= 1:
            raise BuildError(f"VOCMApMetric: iou_threshold is {iou_threshold}; expected a number above 0 and up to 1.")
        self.iou_threshold, self.mode, self.pixel = iou_threshold, mode, float(legacy_widths)
        self.prefix = prefix
        super().__init__(ann_file, dataset)

    def entries(self, img_id: int, found: Detections) -> dict[str, NDArray[Any]]:
        """Return the detections of one image as arrays."""
        return {name: getattr(found, name).cpu().numpy() for name in ("boxes", "scores", "labels")}

    def compute(self) -> dict[str, float]:
        """Return the metrics of the images seen since :meth:`reset`, all in 0…1, and log the table of classes.

        Returns:
            `mAP`, always, and `AP/<class>` of the classes that the images hold, each behind the prefix. Where they hold
            none, `mAP` is 0.

        Raises:
            DataError: No image was evaluated.
        """
        results = self.class_results()
        logger.info("%s", table(results))
        present = [result for result in results if result.gts]
        if not present:
            logger.warning("The %d evaluated images hold no object to find; the metric is 0.", len(self._results))
            return {f"{self.prefix}mAP": 0.0}
        mean = float(np.mean([result.ap for result in present]))
        values = {"mAP": mean, **{f"AP/{result.name}": result.ap for result in present}}
        return {f"{self.prefix}{name}": value for name, value in values.items()}

    def class_results(self) -> list[ClassResult]:
        """Return what every class came to, in the order of the labels.

        Raises:
            DataError: No image was evaluated.
        """
        self.check_covered()
        objects = self._objects()
        ids = sorted(self.truth.getCatIds())
        return [self._result(label, self.truth.cats[i]["name"], objects) for label, i in enumerate(ids)]

    def _objects(self) -> dict[tuple[int, int], tuple[NDArray[Any], NDArray[Any]]]:
        """Return by (image, label) the boxes (G, 4) xyxy and which of them do not count (G,)."""
        labels = {category: label for label, category in enumerate(sorted(self.truth.getCatIds()))}
        gathered: dict[tuple[int, int], list[tuple[list[float], bool]]] = {}
        for one in self.truth.anns.values():
            x, y, width, height = one["bbox"]
            passed_over = bool(one.get("ignore") or one.get("iscrowd"))
            place = (one["image_id"], labels[one["category_id"]])
            gathered.setdefault(place, []).append(([x, y, x + width, y + height], passed_over))
        return {
            place: (np.array([box for box, _ in rows], float), np.array([passed for _, passed in rows]))
            for place, rows in gathered.items()
        }

    def _result(self, label: int, name: str, objects: dict[tuple[int, int], Any]) -> ClassResult:
        holding = [img_id for img_id in sorted(self._results) if (img_id, label) in objects]
        flags = [np.ones(0, bool), *(objects[img_id, label][1] for img_id in holding)]
        # Objects are numbered through all images, so that one array says of each detection which it takes.
        starts = dict(zip(holding, np.cumsum([len(part) for part in flags]).tolist(), strict=False))
        passed_over = np.concatenate(flags)
        gts = int((~passed_over).sum())
        found = list(self._found(label, objects, starts))
        scores, iou, best = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(-scores, kind="stable")
        right, wrong = _judge(iou[order] >= self.iou_threshold, best[order], passed_over)
        recall = right.cumsum() / gts if gts else np.full(len(right), np.nan)
        precision = right.cumsum() / np.maximum(right.cumsum() + wrong.cumsum(), 1)
        ap = average_precision(recall, precision, self.mode) if gts else float("nan")
        reached = float(recall[-1]) if len(recall) else 0.0 if gts else float("nan")
        return ClassResult(name, gts, len(scores), reached, ap)

    def _found(self, label: int, objects: dict[tuple[int, int], Any], starts: dict[int, int]) -> Iterator[_Found]:
        yield _Found(np.zeros(0), np.zeros(0), np.zeros(0, np.int64))
        for img_id in sorted(self._results):
            entry = self._results[img_id]
            own = entry["labels"] == label
            boxes, scores = entry["boxes"][own].astype(float), entry["scores"][own].astype(float)
            if not len(scores) or img_id not in starts:
                yield _Found(scores, np.zeros(len(scores)), np.zeros(len(scores), np.int64))
                continue
            iou = _iou(boxes, objects[img_id, label][0], self.pixel)
            yield _Found(scores, iou.max(axis=1), starts[img_id] + iou.argmax(axis=1))


@OBJECT_REGISTRY.register
class VOC07MApMetric(VOCMApMetric):
    """:class:`VOCMApMetric` with the 11 points of VOC 2007.

    Args:
        ann_file: COCO annotations.
        dataset: Or: a data set with ``annotations()``. With neither, :meth:`bind` must be called before :meth:`update`.
        iou_threshold: 0…1.
        legacy_widths, prefix: As for :class:`VOCMApMetric`.
    """

    def __init__(
        self,
        ann_file: str | Path | None = None,
        dataset: Annotated | None = None,
        *,
        iou_threshold: float = 0.5,
        legacy_widths: bool = False,
        prefix: str = "",
    ) -> None:
        options: dict[str, Any] = {"iou_threshold": iou_threshold, "legacy_widths": legacy_widths, "prefix": prefix}
        super().__init__(ann_file, dataset, mode="11points", **options)


def _judge(
    overlapping: NDArray[np.bool_], best: NDArray[np.int64], passed_over: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which detections (D,), by descending score, are right and which are wrong; some are neither.

    Args:
        overlapping: (D,), whether the object that is overlapped most is overlapped enough.
        best: (D,), number of that object.
        passed_over: (G,), objects that do not count.
    """
    right, wrong = np.zeros(len(best), bool), ~overlapping
    candidates = overlapping.nonzero()[0]
    counting = candidates[~passed_over[best[candidates]]]
    first = np.unique(best[counting], return_index=True)[1]
    right[counting[first]] = True
    wrong[counting] = ~right[counting]
    return right, wrong


def _iou(boxes: NDArray[np.float64], others: NDArray[np.float64], pixel: float) -> NDArray[np.float64]:
    """Return (D, G) of boxes (D, 4) and others (G, 4), whose sides are `pixel` longer than their edges say."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.maximum(high - low + pixel, 0), axis=2)
    areas = [np.prod(group[:, 2:] - group[:, :2] + pixel, axis=1) for group in (boxes, others)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, np.finfo(float).tiny)


def average_precision(recall: NDArray[np.float64], precision: NDArray[np.float64], mode: str = "area") -> float:
    """Return the average precision, 0…1, of a curve.

    Args:
        recall: (D,), ascending, after each detection.
        precision: (D,), at the same places.
        mode: ``area``: the area below the curve, in which each precision is the highest from there on. ``11points``:
            the mean of the highest precision from each of the recalls 0, 0.1 … 1 on.
    """
    # The largest precision from each place on; beyond the last recall it is 0.
    highest = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    if mode == "11points":
        return float(highest[np.searchsorted(recall, np.arange(11) / 10)].mean())
    return float(np.sum(np.diff(recall, prepend=0.0) * highest[:-1]))


def table(results: list[ClassResult]) -> str:
    """Return the classes as Markdown with aligned columns, the mean of those that have objects last."""
    present = [result.ap for result in results if result.gts]
    lines = [COLUMNS, *((r.name, f"{r.gts}", f"{r.dets}", _number(r.recall), _number(r.ap)) for r in results)]
    lines.append(("mAP", "", "", "", _number(float(np.mean(present)) if present else 0.0)))
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4f}"
