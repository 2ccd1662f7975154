"""Cut a window out of the picture and keep the boxes that are still seen in it."""

from collections.abc import Sequence

import numpy as np

from hatlite.data.transforms.sample import Sample, height_width, move, picture, probability
from hatlite.errors import BuildError, DataError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["FixedCrop", "RandomCrop", "centred", "clip_boxes", "cut", "lay", "seen_by_centre"]


@OBJECT_REGISTRY.register
class RandomCrop:
    """Keep a window of `size` at a place drawn uniformly; a side that is already smaller is left whole (Pad follows).

    Boxes are clipped to the window. A box stays when the part that is left covers at least `min_area` pixels² and at
    least `min_iou` of the whole box (which is the IoU of the box before and after clipping); otherwise it is dropped
    together with its class. Regions to ignore (class −1) follow the same rule.

    Args:
        size: (height, width) of the window in pixels.
        min_area: Smallest visible area in pixels² of the picture at this point.
        min_iou: Smallest visible share, 0…1.
        center_crop_prob: Probability in 0…1 of taking the middle instead of a random place.
    """

    def __init__(
        self, size: Sequence[int], *, min_area: float = 4.0, min_iou: float = 0.1, center_crop_prob: float = 0.0
    ) -> None:
        if min_area < 0:
            raise BuildError(f"RandomCrop: min_area is {min_area!r}; expected an area in pixels², 0 or above.")
        self.size = height_width(size, "RandomCrop: size")
        self.min_area = min_area
        self.min_iou = probability(min_iou, "RandomCrop: min_iou")
        self.center_crop_prob = probability(center_crop_prob, "RandomCrop: center_crop_prob")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        img = picture(sample, self)
        height, width = (min(side, old) for side, old in zip(self.size, img.shape, strict=False))
        room_y, room_x = img.shape[0] - height, img.shape[1] - width
        top, left = int(rng.integers(room_y + 1)), int(rng.integers(room_x + 1))
        if rng.random() < self.center_crop_prob:
            top, left = room_y // 2, room_x // 2
        return clip_boxes(cut(sample, top, left, height, width), self.min_area, self.min_iou)


@OBJECT_REGISTRY.register
class FixedCrop:
    """Keep the window of `size` at `top_left`, the same in every picture, as far as the picture reaches.

    Boxes are clipped and kept by the rule of :class:`RandomCrop`.

    Args:
        size: (height, width) of the window in pixels.
        top_left: (top, left) corner in pixels, 0 or above.
        min_area, min_iou: As for RandomCrop.

    Raises:
        BuildError: `top_left` is no such pair.
        DataError: A picture ends before the window begins.
    """

    def __init__(
        self, size: Sequence[int], top_left: Sequence[int] = (0, 0), *, min_area: float = 4.0, min_iou: float = 0.1
    ) -> None:
        self.size = height_width(size, "FixedCrop: size")
        if len(top_left) != 2 or any(not isinstance(side, int) or side < 0 for side in top_left):
            raise BuildError(f"FixedCrop: top_left is {top_left!r}; expected (top, left), two whole numbers from 0 up.")
        self.top, self.left = top_left
        self.min_area = min_area
        self.min_iou = probability(min_iou, "FixedCrop: min_iou")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        rows, columns = picture(sample, self).shape[:2]
        height, width = min(self.size[0], rows - self.top), min(self.size[1], columns - self.left)
        if min(height, width) < 1:
            raise DataError(
                f"FixedCrop: image {sample.get('img_name')} is {rows}×{columns} (height × width) and ends before the"
                f" window, whose corner is ({self.top}, {self.left}); resize it before, or move top_left."
            )
        return clip_boxes(cut(sample, self.top, self.left, height, width), self.min_area, self.min_iou)


def cut(sample: Sample, top: int, left: int, height: int, width: int) -> Sample:
    """Return the sample seen through a window inside its picture; boxes are moved and not clipped yet."""
    shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]], np.float64)
    return move(sample, sample["img"][top : top + height, left : left + width], shift)


def clip_boxes(sample: Sample, min_area: float, min_iou: float) -> Sample:
    """Clip the boxes to the picture and drop those of which too little is left, as :class:`RandomCrop` explains."""
    height, width = sample["img"].shape[:2]
    boxes = sample["gt_bboxes"]
    clipped = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
    visible = _areas(clipped)
    seen = (visible > 0) & (visible >= min_area) & (visible >= min_iou * _areas(boxes))
    return {**sample, "gt_bboxes": clipped[seen], "gt_classes": sample["gt_classes"][seen]}


def seen_by_centre(sample: Sample, top: int, left: int, height: int, width: int) -> Sample:
    """Return the sample as it is with the boxes whose centre lies inside this window, and all regions to ignore."""
    edges = np.array([left, top, left + width, top + height], np.float64)
    kept = centred(sample["gt_bboxes"].astype(np.float64), edges) | (sample["gt_classes"] < 0)
    return {**sample, "gt_bboxes": sample["gt_bboxes"][kept], "gt_classes": sample["gt_classes"][kept]}


def centred(boxes_xyxy: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return (N,) bool: which centres of (N, 4) boxes lie inside the window with these edges (x1, y1, x2, y2)."""
    centres = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    return ((centres > edges[:2]) & (centres < edges[2:])).all(axis=1)


def lay(canvas: np.ndarray, img: np.ndarray, top: int, left: int) -> None:
    """Copy `img` into `canvas` with its corner at (top, left), which may lie outside; what hangs over is left out."""
    y, x = max(top, 0), max(left, 0)
    seen = img[y - top : canvas.shape[0] - top, x - left : canvas.shape[1] - left]
    canvas[y : y + seen.shape[0], x : x + seen.shape[1]] = seen


def _areas(boxes_xyxy: np.ndarray) -> np.ndarray:
    return (boxes_xyxy[:, 2] - boxes_xyxy[:, 0]) * (boxes_xyxy[:, 3] - boxes_xyxy[:, 1])
