"""Transforms that change colours and leave boxes alone."""

import cv2
import numpy as np

from hatlite.data.transforms.sample import Sample, picture
from hatlite.errors import BuildError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["AugmentHSV"]


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
        hsv = cv2.LUT(cv2.cvtColor(img, cv2.COLOR_RGB2HSV_FULL), hsv_table(*amounts))
        return {**sample, "img": cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)}


def hsv_table(hue: float, saturation: float, value: float) -> np.ndarray:
    """Return the (1, 256, 3) uint8 table that shifts the hue by a share of the circle and scales S and V by 1 + x."""
    level = np.arange(256)
    columns = (
        np.floor(level + 256 * hue + 0.5) % 256,
        np.floor(level * (1 + saturation) + 0.5).clip(0, 255),
        np.floor(level * (1 + value) + 0.5).clip(0, 255),
    )
    return np.stack(columns, axis=-1).astype(np.uint8)[None]
