"""Windows that keep an object as long as its centre is seen, as detectors on a grid want it.

Boxes are clipped to what is seen, and regions to ignore (class −1) stay as far as they are seen. Where a window would
leave none of a picture's objects the picture stays as it is; one without objects has nothing to lose.
"""

from collections.abc import Sequence

import numpy as np

from hatlite.data.transforms.crop import clip_boxes, cut, lay, seen_by_centre
from hatlite.data.transforms.geometry import checked_fill
from hatlite.data.transforms.sample import Sample, move, picture, probability
from hatlite.errors import BuildError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["RandomCropByCentre", "RandomShift"]

CAFFE_MEAN = (123, 117, 104)
"""Red, green and blue of ImageNet's mean photo."""


@OBJECT_REGISTRY.register
class RandomShift:
    """Move the picture within its own frame; what comes free is filled, what leaves the frame is lost.

    Args:
        ratio: Largest shift as a share of the width and of the height, 0…1; each is drawn uniformly from −ratio…ratio.
        fill: 0…255; one number or one per channel (R, G, B).
        prob: Probability in 0…1.
    """

    def __init__(self, ratio: float = 0.2, fill: float | Sequence[float] = CAFFE_MEAN, *, prob: float = 0.5) -> None:
        self.ratio = probability(ratio, "RandomShift: ratio")
        self.fill = np.floor(np.array(checked_fill(fill, "RandomShift: fill")) + 0.5).astype(np.uint8)
        self.prob = probability(prob, "RandomShift: prob")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        img = picture(sample, self)
        if rng.random() >= self.prob:
            return sample
        height, width = img.shape[:2]
        top, left = (round(side * rng.uniform(-self.ratio, self.ratio)) for side in (height, width))
        seen = seen_by_centre(sample, -top, -left, height, width)
        if not keeps_objects(seen, sample):
            return sample
        canvas = np.empty_like(img)
        canvas[:] = self.fill
        lay(canvas, img, top, left)
        moved = move(seen, canvas, np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], np.float64))
        return clip_boxes(moved, 0.0, 0.0)


@OBJECT_REGISTRY.register
class RandomCropByCentre:
    """Keep a window whose sides are shares of the picture's, at a place drawn uniformly.

    Args:
        ratio_range: (low, high), 0 < low ≤ high ≤ 1; height and width are drawn from it on their own.
        prob: Probability in 0…1.
    """

    def __init__(self, ratio_range: Sequence[float] = (0.6, 1.0), *, prob: float = 0.5) -> None:
        if len(ratio_range) != 2 or not 0 < ratio_range[0] <= ratio_range[1] <= 1:
            raise BuildError(
                f"RandomCropByCentre: ratio_range is {ratio_range!r}; expected (low, high) with 0 < low ≤ high ≤ 1."
            )
        self.ratio_range = (float(ratio_range[0]), float(ratio_range[1]))
        self.prob = probability(prob, "RandomCropByCentre: prob")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        img = picture(sample, self)
        if rng.random() >= self.prob:
            return sample
        sides = [max(1, round(side * rng.uniform(*self.ratio_range))) for side in img.shape[:2]]
        corner = [int(rng.integers(old - side + 1)) for old, side in zip(img.shape, sides, strict=False)]
        seen = seen_by_centre(sample, *corner, *sides)
        return clip_boxes(cut(seen, *corner, *sides), 0.0, 0.0) if keeps_objects(seen, sample) else sample


def keeps_objects(seen: Sample, sample: Sample) -> bool:
    """Tell whether an object is left, or there was none."""
    return bool((seen["gt_classes"] >= 0).any() or not (sample["gt_classes"] >= 0).any())
