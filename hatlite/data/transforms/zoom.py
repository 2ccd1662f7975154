"""The transforms with which SSD makes objects smaller and larger (Liu et al. 2016, arXiv:1512.02325, section 2.2)."""

from collections.abc import Sequence

import numpy as np

from hatlite.data.transforms.crop import centred, clip_boxes, cut, seen_by_centre
from hatlite.data.transforms.geometry import GREY, checked_fill
from hatlite.data.transforms.sample import Sample, move, picture, probability
from hatlite.errors import BuildError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["MinIoURandomCrop", "RandomExpand"]

TRIALS = 50
"""Windows that are drawn for one limit of the IoU before another one is drawn, as in SSD's own code."""

ROUNDS = 10
"""Limits that are tried before the picture stays whole."""

ASPECTS = (0.5, 2.0)
"""Height over width that a window may have."""

WHOLE, ANY = 1.0, 0.0  # two limits beside the given ones: the picture as it is, and any window


@OBJECT_REGISTRY.register(alias="Expand")
class RandomExpand:
    """Lay the picture somewhere on a larger one, so that its objects become small; boxes move with it.

    Args:
        mean: Fill of what the picture does not cover, 0…255; one number or one per channel (R, G, B).
        ratio_range: (low, high), 1 ≤ low ≤ high; both sides grow by a number drawn uniformly from it.
        prob: Probability in 0…1.
    """

    def __init__(
        self, mean: float | Sequence[float] = GREY, ratio_range: Sequence[float] = (1.0, 4.0), prob: float = 0.5
    ) -> None:
        fill = checked_fill(mean, "RandomExpand: mean")
        if len(ratio_range) != 2 or not 1 <= ratio_range[0] <= ratio_range[1]:
            raise BuildError(f"RandomExpand: ratio_range is {ratio_range!r}; expected (low, high) with 1 ≤ low ≤ high.")
        self.fill = np.floor(np.array(fill, np.float64) + 0.5).astype(np.uint8)
        self.ratio_range = (float(ratio_range[0]), float(ratio_range[1]))
        self.prob = probability(prob, "RandomExpand: prob")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        img = picture(sample, self)
        if rng.random() >= self.prob:
            return sample
        height, width = img.shape[:2]
        ratio = rng.uniform(*self.ratio_range)
        canvas = np.empty((round(height * ratio), round(width * ratio), 3), np.uint8)
        canvas[:] = self.fill
        top, left = (int(rng.integers(large - small + 1)) for large, small in zip(canvas.shape, (height, width)))
        canvas[top : top + height, left : left + width] = img
        return move(sample, canvas, np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], np.float64))


@OBJECT_REGISTRY.register
class MinIoURandomCrop:
    """Keep a window whose IoU with every object is at least a limit drawn anew for every picture.

    The limit is one of `min_ious`, or none at all, or the picture stays whole. An object stays when its middle lies in
    the window, clipped to it, and one must stay if there are any. Regions to ignore (class −1) have no say in the
    choice and stay as far as they are seen.

    Args:
        min_ious: Limits in 0…1.
        min_crop_size: Smallest side of a window as a share of the picture's, above 0, at most 1.
    """

    def __init__(self, min_ious: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9), min_crop_size: float = 0.3) -> None:
        limits = [probability(limit, "MinIoURandomCrop: min_ious") for limit in min_ious]
        if not 0 < min_crop_size <= 1:
            raise BuildError(
                f"MinIoURandomCrop: min_crop_size is {min_crop_size!r}; expected a number above 0 and up to 1."
            )
        self.limits = (WHOLE, *limits, ANY)
        self.min_crop_size = min_crop_size

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = picture(sample, self).shape[:2]
        for _ in range(ROUNDS):
            limit = self.limits[rng.integers(len(self.limits))]
            if limit == WHOLE:
                return sample
            for _ in range(TRIALS):
                window = self._window(height, width, rng)
                if window is not None and _fits(window, sample, limit):
                    return clip_boxes(cut(seen_by_centre(sample, *window), *window), 0.0, 0.0)
        return sample

    def _window(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int] | None:
        """Return (top, left, height, width), or None where the drawn shape is too long."""
        new_height, new_width = (max(1, int(rng.uniform(self.min_crop_size * side, side))) for side in (height, width))
        if not ASPECTS[0] <= new_height / new_width <= ASPECTS[1]:
            return None
        return (
            int(rng.integers(height - new_height + 1)),
            int(rng.integers(width - new_width + 1)),
            new_height,
            new_width,
        )


def _edges(window: tuple[int, int, int, int]) -> np.ndarray:
    top, left, height, width = window
    return np.array([left, top, left + width, top + height], np.float64)


def _fits(window: tuple[int, int, int, int], sample: Sample, limit: float) -> bool:
    objects = sample["gt_bboxes"][sample["gt_classes"] >= 0].astype(np.float64)
    if not len(objects):
        return True
    edges = _edges(window)
    sides = np.minimum(objects[:, 2:], edges[2:]) - np.maximum(objects[:, :2], edges[:2])
    shared = sides.clip(0).prod(axis=1)
    whole = (objects[:, 2:] - objects[:, :2]).prod(axis=1) + (edges[2:] - edges[:2]).prod() - shared
    return bool((shared / whole).min() >= limit and centred(objects, edges).any())
