"""Stronger changes of colours, in several steps of random strength; boxes stay as they are."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from hatlite.data.transforms.color import hsv_table, through_hsv
from hatlite.data.transforms.sample import Sample, picture
from hatlite.errors import BuildError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["ColorJitter", "PhotoMetricDistortion"]

FULL_TURN = 360.0  # hue of OpenCV's float HSV, in degrees


@OBJECT_REGISTRY.register
class ColorJitter:
    """Change brightness, contrast, saturation and hue, in an order drawn anew for every picture.

    A strength x draws a factor f uniformly from max(0, 1 − x)…1 + x. With channels on 0…255: brightness multiplies by
    f; contrast moves away from the mean grey m, m + f · (v − m); saturation away from the pixel's own grey; hue turns
    by a share of the circle drawn from −x…x. Each is rounded half up and clamped to 0…255.

    Args:
        brightness, contrast, saturation: Strengths, 0 or above; 0 leaves the property alone.
        hue: 0…0.5.
    """

    def __init__(
        self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0, hue: float = 0.0
    ) -> None:
        for key, strength in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation)):
            if not strength >= 0:
                raise BuildError(f"ColorJitter: {key} is {strength!r}; expected a number, 0 or above.")
        if not 0 <= hue <= 0.5:
            raise BuildError(f"ColorJitter: hue is {hue!r}; expected a number in 0…0.5.")
        factors = ((brightness, _brighten), (contrast, _contrast), (saturation, _saturate))
        self.steps = [(max(0.0, 1 - x), 1 + x, change) for x, change in factors if x]
        self.steps += [(-hue, hue, _turn)] if hue else []

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        img = picture(sample, self)
        for number in rng.permutation(len(self.steps)):
            low, high, change = self.steps[number]
            img = change(img, rng.uniform(low, high))
        return {**sample, "img": img}


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.floor(values + 0.5).clip(0, 255).astype(np.uint8)


def _brighten(img: np.ndarray, factor: float) -> np.ndarray:
    return cv2.LUT(img, _rounded(np.arange(256) * factor))


def _contrast(img: np.ndarray, factor: float) -> np.ndarray:
    mean = float(cv2.cvtColor(img, cv2.COLOR_RGB2GRAY).mean())
    return cv2.LUT(img, _rounded(mean + factor * (np.arange(256) - mean)))


def _saturate(img: np.ndarray, factor: float) -> np.ndarray:
    grey = cv2.cvtColor(img, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    return _rounded(grey + np.float32(factor) * (img - grey))


def _turn(img: np.ndarray, share: float) -> np.ndarray:
    return through_hsv(img, hsv_table(share, 0.0, 0.0))


@OBJECT_REGISTRY.register
class PhotoMetricDistortion:
    """The colour distortion of SSD (Liu et al. 2016, arXiv:1512.02325): each of six steps with probability one half.

    Brightness is added; contrast multiplied, before or after saturation and hue by a throw of a coin; saturation
    multiplied; hue turned; and the channels permuted. Values are floats on 0…255, clamped after each step and rounded
    half up at the end.

    Args:
        brightness_delta: Largest summand, 0…255.
        contrast_range, saturation_range: (low, high) of the factor, 0 < low ≤ high.
        hue_delta: Largest turn in degrees, 0…360.
    """

    def __init__(
        self,
        brightness_delta: float = 32.0,
        contrast_range: Sequence[float] = (0.5, 1.5),
        saturation_range: Sequence[float] = (0.5, 1.5),
        hue_delta: float = 18.0,
    ) -> None:
        for key, delta, most in (("brightness_delta", brightness_delta, 255), ("hue_delta", hue_delta, 360)):
            if not 0 <= delta <= most:
                raise BuildError(f"PhotoMetricDistortion: {key} is {delta!r}; expected a number in 0…{most}.")
        self.brightness_delta = brightness_delta
        self.contrast_range = _factors(contrast_range, "contrast_range")
        self.saturation_range = _factors(saturation_range, "saturation_range")
        self.hue_delta = hue_delta

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        img = picture(sample, self).astype(np.float32)
        early = rng.random() < 0.5
        steps: list[Callable[[np.ndarray, np.random.Generator], np.ndarray]] = [
            lambda x, rng: x + rng.uniform(-self.brightness_delta, self.brightness_delta),
            *([self._contrast] if early else []),
            self._saturate,
            self._turn,
            *([] if early else [self._contrast]),
            lambda x, rng: x[..., rng.permutation(3)],
        ]
        for step in steps:
            if rng.random() < 0.5:
                img = step(img, rng).astype(np.float32).clip(0, 255)
        return {**sample, "img": np.ascontiguousarray(_rounded(img))}

    def _contrast(self, img: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return img * rng.uniform(*self.contrast_range)

    def _saturate(self, img: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        hsv = cv2.cvtColor(img, cv2.COLOR_RGB2HSV)  # hue 0…360, saturation 0…1, value as the channels
        hsv[..., 1] = (hsv[..., 1] * rng.uniform(*self.saturation_range)).clip(0, 1)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)

    def _turn(self, img: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        hsv = cv2.cvtColor(img, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + rng.uniform(-self.hue_delta, self.hue_delta)) % FULL_TURN
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def _factors(value: Sequence[float], key: str) -> tuple[float, float]:
    if len(value) != 2 or not 0 < value[0] <= value[1]:
        raise BuildError(f"PhotoMetricDistortion: {key} is {value!r}; expected (low, high) with 0 < low ≤ high.")
    return float(value[0]), float(value[1])
