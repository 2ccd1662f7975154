"""Transforms that change colours or sharpness and leave boxes alone."""

from collections.abc import Sequence

import cv2
import numpy as np

from hatlite.data.transforms.sample import Sample, picture, probability
from hatlite.errors import BuildError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["AugmentHSV", "BoxBlur", "RandomHSVFactors"]


@OBJECT_REGISTRY.register
class AugmentHSV:
    """Shift the hue and scale saturation and value, each by a random amount up to its gain.

    With u, v, w drawn uniformly from −1…1 and all channels on 0…255 (hue a full circle of 256 steps):
    H′ = (H + 256 · hgain · u) mod 256, S′ = S · (1 + sgain · v), V′ = V · (1 + vgain · w), rounded half up, S′ and V′
    clamped to 0…255. Grey stays grey, because its saturation is 0.

    Args:
        hgain: Largest shift of the hue as a share of the circle, 0…0.5.
        sgain: Largest relative change of the saturation, 0…1.
        vgain: Largest relative change of the value, 0…1.
    """

    def __init__(self, hgain: float = 0.015, sgain: float = 0.7, vgain: float = 0.4) -> None:
        for key, gain, largest in (("hgain", hgain, 0.5), ("sgain", sgain, 1.0), ("vgain", vgain, 1.0)):
            if not 0 <= gain <= largest:
                raise BuildError(f"AugmentHSV: {key} is {gain!r}; expected a number in 0…{largest:g}.")
        self.gains = np.array([hgain, sgain, vgain])

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        img = picture(sample, self)
        amounts = rng.uniform(-1, 1, 3) * self.gains
        if not amounts.any():
            return sample  # 8-bit HSV does not come back exactly
        return {**sample, "img": through_hsv(img, hsv_table(*amounts))}


@OBJECT_REGISTRY.register
class RandomHSVFactors:
    """Multiply hue, saturation and value, each with its own chance and by one of its factors.

    On 0…255, rounded half up: saturation and value are clamped, while the hue goes round its circle of 256 steps, so
    that a hue beyond the end is one at the beginning.

    Args:
        hue, saturation, value: Factors, 0 or above, one of which is drawn with equal chances; none leaves it alone.
        prob: Probability in 0…1 of each of the three.
    """

    def __init__(
        self,
        hue: Sequence[float] = (0.5, 1.5),
        saturation: Sequence[float] = (0.5, 1.5),
        value: Sequence[float] = (0.5, 1.5),
        *,
        prob: float = 0.5,
    ) -> None:
        for key, factors in (("hue", hue), ("saturation", saturation), ("value", value)):
            if not isinstance(factors, (list, tuple)) or not all(factor >= 0 for factor in factors):
                raise BuildError(
                    f"RandomHSVFactors: {key} is {factors!r}; expected factors, 0 or above, such as (0.5, 1.5)."
                )
        self.factors = [tuple(factors) or (1.0,) for factors in (hue, saturation, value)]
        self.prob = probability(prob, "RandomHSVFactors: prob")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        img = picture(sample, self)
        chances, places = rng.random((2, 3))
        hue, saturation, value = (
            factors[int(place * len(factors))] if chance < self.prob else 1.0
            for factors, chance, place in zip(self.factors, chances, places, strict=True)
        )
        if hue == saturation == value == 1:
            return sample  # 8-bit HSV does not come back exactly
        return {**sample, "img": through_hsv(img, hsv_table(0.0, saturation - 1, value - 1, hue_factor=hue))}


@OBJECT_REGISTRY.register
class BoxBlur:
    """Replace every pixel by the mean of the `size` × `size` around it; the border mirrors the picture.

    Args:
        size: Odd, in pixels.
        prob: Probability in 0…1.
    """

    def __init__(self, size: int = 5, *, prob: float = 0.5) -> None:
        if size < 1 or size % 2 == 0:
            raise BuildError(f"BoxBlur: size is {size!r}; expected an odd number of pixels, such as 5.")
        self.size = size
        self.prob = probability(prob, "BoxBlur: prob")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        img = picture(sample, self)
        return {**sample, "img": cv2.blur(img, (self.size, self.size))} if rng.random() < self.prob else sample


def through_hsv(img: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) uint8 RGB whose hue, saturation and value went through a table of :func:`hsv_table`."""
    hsv = cv2.LUT(cv2.cvtColor(img, cv2.COLOR_RGB2HSV_FULL), table)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def hsv_table(hue: float, saturation: float, value: float, *, hue_factor: float = 1.0) -> np.ndarray:
    """Return the (1, 256, 3) uint8 table that turns the hue by a share of the circle and scales S and V by 1 + x.

    The hue is multiplied by `hue_factor` before it is turned, and taken modulo 256.
    """
    level = np.arange(256)
    columns = (
        np.floor(level * hue_factor + 256 * hue + 0.5) % 256,
        np.floor(level * (1 + saturation) + 0.5).clip(0, 255),
        np.floor(level * (1 + value) + 0.5).clip(0, 255),
    )
    return np.stack(columns, axis=-1).astype(np.uint8)[None]
