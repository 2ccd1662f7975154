"""Transforms that move pixels and boxes: resize, pad, mirror. Cropping stands in :mod:`.crop` and :mod:`.shift`."""

from collections.abc import Sequence

import cv2
import numpy as np

from hatlite.data.transforms.sample import Sample, height_width, move, picture, probability
from hatlite.errors import BuildError, DataError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["Pad", "RandomFlip", "RandomScale", "Resize", "checked_fill", "resize_picture"]

GREY = 114
"""Fill of the border, near the mean of natural photos."""

AREA_FACTOR = 2
"""Shrinking by more than this averages areas: two neighbours no longer cover the pixels in between."""


@OBJECT_REGISTRY.register
class Resize:
    """Resize picture and boxes to `img_scale`.

    Pixels are interpolated linearly; averaged over areas if a side shrinks by more than 2 and none grows. Boxes are
    multiplied by W′/W and H′/H exactly, so they agree with the rounded size of the picture.

    Args:
        img_scale: (height, width) in pixels.
        ratio_range: (low, high); `img_scale` is multiplied by a number drawn uniformly from it.
        keep_ratio: Take the largest size of the picture's own shape that fits inside; False stretches to the scale.
    """

    def __init__(
        self, img_scale: Sequence[int], ratio_range: Sequence[float] | None = None, keep_ratio: bool = True
    ) -> None:
        self.img_scale = height_width(img_scale, "Resize: img_scale")
        low, high = _checked_range(ratio_range) if ratio_range is not None else (1.0, 1.0)
        self.ratio_range = (low, high)
        self.keep_ratio = keep_ratio

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        img = picture(sample, self)
        low, high = self.ratio_range
        ratio = rng.uniform(low, high) if low < high else low
        return _resized(sample, *self._new_size(*img.shape[:2], ratio))

    def _new_size(self, height: int, width: int, ratio: float) -> tuple[int, int]:
        scale_y, scale_x = (ratio * side / old for side, old in zip(self.img_scale, (height, width), strict=True))
        if self.keep_ratio:
            scale_y = scale_x = min(scale_y, scale_x)
        return max(1, round(height * scale_y)), max(1, round(width * scale_x))


def resize_picture(img: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return (H, W, 3) uint8 as (height, width, 3), by the rule of :class:`Resize`."""
    down = img.shape[0] / height, img.shape[1] / width
    method = cv2.INTER_AREA if max(down) > AREA_FACTOR and min(down) >= 1 else cv2.INTER_LINEAR
    return cv2.resize(img, (width, height), interpolation=method)


def _resized(sample: Sample, height: int, width: int) -> Sample:
    old_height, old_width = sample["img"].shape[:2]
    matrix = np.diag([width / old_width, height / old_height, 1.0])
    return move(sample, resize_picture(sample["img"], height, width), matrix)


def _checked_range(value: Sequence[float], key: str = "Resize: ratio_range") -> tuple[float, float]:
    if len(value) != 2 or not 0 < value[0] <= value[1]:
        raise BuildError(f"{key} is {value!r}; expected (low, high) with 0 < low <= high, such as (0.5, 2.0).")
    return float(value[0]), float(value[1])


@OBJECT_REGISTRY.register
class RandomScale:
    """Make the picture wider or narrower, and taller or flatter, by factors drawn uniformly from two ranges.

    Args:
        width: (low, high) of the factor of the width, 0 < low ≤ high.
        height: The same for the height.
        prob: Probability in 0…1.
    """

    def __init__(
        self, width: Sequence[float] = (0.8, 1.2), height: Sequence[float] = (1.0, 1.0), *, prob: float = 0.5
    ) -> None:
        self.height = _checked_range(height, "RandomScale: height")
        self.width = _checked_range(width, "RandomScale: width")
        self.prob = probability(prob, "RandomScale: prob")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        img = picture(sample, self)
        if rng.random() >= self.prob:
            return sample
        factors = rng.uniform(*self.height), rng.uniform(*self.width)
        return _resized(sample, *(max(1, round(side * factor)) for side, factor in zip(img.shape, factors)))


@OBJECT_REGISTRY.register
class Pad:
    """Extend the picture at the bottom and at the right; boxes stay where they are.

    Args:
        divisor: Both sides grow to the next multiple of this.
        size: (height, width) to grow to. Exactly one of `divisor` and `size` is given.
        value: Fill, 0…255; one number or one per channel (R, G, B).
    """

    def __init__(
        self,
        divisor: int | None = None,
        size: Sequence[int] | None = None,
        value: float | Sequence[float] = GREY,
    ) -> None:
        if (divisor is None) == (size is None):
            raise BuildError(f"Pad: divisor is {divisor!r} and size is {size!r}; give exactly one of them.")
        if divisor is not None and (not isinstance(divisor, int) or divisor < 1):
            raise BuildError(f"Pad: divisor is {divisor!r}; expected a whole number above 0.")
        self.divisor = divisor or 1
        self.size = None if size is None else height_width(size, "Pad: size")
        self.value = checked_fill(value, "Pad: value")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        img = picture(sample, self)
        height, width = img.shape[:2]
        new_height, new_width = self._new_size(height, width, sample)
        if (new_height, new_width) == (height, width):
            return sample
        border = (0, new_height - height, 0, new_width - width)
        return {**sample, "img": cv2.copyMakeBorder(img, *border, cv2.BORDER_CONSTANT, value=self.value)}

    def _new_size(self, height: int, width: int, sample: Sample) -> tuple[int, int]:
        if self.size is None:
            return _round_up(height, self.divisor), _round_up(width, self.divisor)
        if height > self.size[0] or width > self.size[1]:
            raise DataError(
                f"Pad: image {sample.get('img_name')} is {height}×{width} (height × width), larger than size "
                f"{self.size[0]}×{self.size[1]}; put Resize or RandomCrop before Pad, or use a divisor."
            )
        return self.size


def _round_up(side: int, divisor: int) -> int:
    return -(-side // divisor) * divisor


def checked_fill(value: float | Sequence[float], key: str) -> tuple[float, ...]:
    """Check a colour and return its three channels; `key` names it, such as ``Pad: value``.

    Raises:
        BuildError: It is neither a number in 0…255 nor three of them.
    """
    fill = tuple(value) if isinstance(value, (list, tuple)) else (value,) * 3
    if len(fill) != 3 or not all(0 <= channel <= 255 for channel in fill):
        raise BuildError(f"{key} is {value!r}; expected a number in 0…255 or three of them (R, G, B).")
    return fill


@OBJECT_REGISTRY.register
class RandomFlip:
    """Mirror the picture: x becomes W − x with probability `px`, y becomes H − y with probability `py`.

    Args:
        px: Probability in 0…1 of swapping left and right.
        py: Probability in 0…1 of swapping top and bottom.
    """

    def __init__(self, px: float = 0.5, py: float = 0.0) -> None:
        self.px = probability(px, "RandomFlip: px")
        self.py = probability(py, "RandomFlip: py")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        img = picture(sample, self)
        flip_x, flip_y = rng.random(2) < (self.px, self.py)
        if not flip_x and not flip_y:
            return sample
        height, width = img.shape[:2]
        matrix = np.eye(3)
        if flip_x:
            matrix[0] = -1, 0, width
        if flip_y:
            matrix[1] = 0, -1, height
        axis = -1 if flip_x and flip_y else int(flip_x)  # OpenCV: 1 swaps columns, 0 rows, −1 both
        return move(sample, cv2.flip(img, axis), matrix)
