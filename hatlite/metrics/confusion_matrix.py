"""Which class is taken for which, which objects are missed, and what is found where nothing is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hatlite.errors import BuildError
from hatlite.metrics.detection_metric import Annotated, DetectionMetric
from hatlite.ops.boxes import overlap
from hatlite.structures import Detections

__all__ = ["ConfusionMatrix"]

TINY = 1e-9  # square pixels; keeps 0/0 of empty boxes finite


class ConfusionMatrix(DetectionMetric):
    """Objects by class against the detections that take them.

    By score, a detection takes, of the objects that it overlaps enough and that are still free, whatever their class,
    the one that it overlaps most. A detection that takes none is one of the background, a second one of the same object
    too; an object that none takes is missed. A detection that takes none and overlaps a region to ignore (VOC's
    difficult objects; a crowd, by the part of the detection that lies in it) counts neither way.

    Args:
        ann_file: COCO annotations.
        dataset: Or: a data set with ``annotations()``. With neither, :meth:`bind` must be called before :meth:`update`.
        score_threshold: Detections below it do not count, 0…1.
        iou_threshold: Smallest IoU that is enough, above 0 and up to 1.

    Raises:
        DataNotFoundError: There is no file `ann_file`.
        DataError: `ann_file` is not in COCO's form, or both are given.
        BuildError: A threshold is outside its range.
    """

    def __init__(
        self,
        ann_file: str | Path | None = None,
        dataset: Annotated | None = None,
        *,
        score_threshold: float = 0.3,
        iou_threshold: float = 0.5,
    ) -> None:
        if not (0 <= score_threshold <= 1 and 0 < iou_threshold <= 1):
            raise BuildError(
                f"ConfusionMatrix: score_threshold is {score_threshold} and iou_threshold {iou_threshold}; expected"
                " numbers in 0…1, the second above 0."
            )
        self.score_threshold, self.iou_threshold = score_threshold, iou_threshold
        super().__init__(ann_file, dataset)

    @property
    def names(self) -> list[str]:
        """Names of the classes, in the order of the labels."""
        return [self.truth.cats[i]["name"] for i in sorted(self.truth.getCatIds())]

    def entries(self, img_id: int, found: Detections) -> NDArray[np.int64]:
        """Return (M, 2): row and column of the matrix for every object and detection of one image that counts."""
        return np.array(list(self._pairs(img_id, found)), np.int64).reshape(-1, 2)

    def _pairs(self, img_id: int, found: Detections) -> Iterator[tuple[int, int]]:
        boxes, labels, ignored, crowd = self._objects(img_id)
        shown = found.scores.cpu() >= self.score_threshold
        own = found.boxes.cpu().double()[shown, None]  # (D, 1, 4)
        shared, union = overlap(own, boxes[None])  # (D, G)
        areas = (own[..., 2:] - own[..., :2]).prod(dim=-1)  # (D, 1)
        near = shared / torch.where(crowd[None], areas, union).clamp(min=TINY)
        nothing, free = len(self.truth.cats), ~ignored
        for label, row in zip(found.labels.cpu()[shown].tolist(), near, strict=True):
            enough = row >= self.iou_threshold
            if (enough & free).any():
                taken = int(row.where(enough & free, torch.zeros_like(row)).argmax())
                free[taken] = False
                yield int(labels[taken]), label
            elif not (enough & ignored).any():
                yield nothing, label
        yield from ((int(label), nothing) for label in labels[free])

    def _objects(self, img_id: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return boxes (G, 4) xyxy float64, labels (G,), which do not count (G,), and which are crowds (G,)."""
        labels = {category: label for label, category in enumerate(sorted(self.truth.getCatIds()))}
        objects = self.truth.imgToAnns[img_id]
        boxes = torch.tensor([one["bbox"] for one in objects], dtype=torch.float64).reshape(-1, 4)
        boxes = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1)
        crowd = torch.tensor([bool(one.get("iscrowd")) for one in objects], dtype=torch.bool)
        ignored = torch.tensor([bool(one.get("ignore")) for one in objects], dtype=torch.bool) | crowd
        return boxes, torch.tensor([labels[one["category_id"]] for one in objects]), ignored, crowd

    def counts(self) -> NDArray[np.int64]:
        """Return the matrix (C + 1, C + 1) of the images seen since :meth:`reset`.

        Row t, column d counts the objects of class t taken by detections of class d. The last column counts objects
        that are missed, the last row detections of the background; where they meet stands 0.

        Raises:
            DataError: No image was evaluated.
        """
        self.check_covered()
        side = len(self.truth.cats) + 1
        matrix = np.zeros((side, side), np.int64)
        for pairs in self._results.values():
            np.add.at(matrix, (pairs[:, 0], pairs[:, 1]), 1)
        return matrix

    def compute(self) -> dict[str, Any]:
        """Return the parts of all objects, 0…1, that are `found` as what they are, `confused` and `missed`.

        Raises:
            DataError: No image was evaluated.
        """
        objects = self.counts()[:-1]
        total = max(1, int(objects.sum()))
        found, missed = int(np.trace(objects)), int(objects[:, -1].sum())
        return {
            "found": found / total,
            "confused": (int(objects.sum()) - found - missed) / total,
            "missed": missed / total,
        }
