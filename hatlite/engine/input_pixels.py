"""What a pixel has to become before it enters an exported network, as the transforms of validation do it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hatlite.data.transforms import DeleteKeys, Normalize, QuantizePixels, RenameKeys, ToTensor

__all__ = ["describe_pixels"]

PIXELS = (0, 255)
NEUTRAL = (DeleteKeys, RenameKeys)
"""Transforms that leave every pixel as it is."""


def describe_pixels(transforms: Sequence[Any]) -> Mapping[str, Any] | None:
    """Return how the input of a network is made of a picture of 8 bits; None where that cannot be told.

    ``order`` is RGB, BGR, YUV (BT.601, full range, chroma offset 128) or YCrCb (the same as Y, V, U), ``mean`` and
    ``std`` have one number or one per channel in that order, ``range`` are the least and the greatest value of all
    channels, and ``value`` says what a pixel becomes. Where pixels enter with fewer bits, ``bits`` counts them.

    Args:
        transforms: Of the validation data. None is returned if they have no ToTensor, several Normalize or
            QuantizePixels, or others behind ToTensor that may change pixels.
    """
    places = [index for index, one in enumerate(transforms) if isinstance(one, ToTensor)]
    if len(places) != 1:
        return None
    behind = [one for one in transforms[places[0] + 1 :] if not isinstance(one, NEUTRAL)]
    if len(behind) > 1 or not all(isinstance(one, (Normalize, QuantizePixels)) for one in behind):
        return None
    last = behind[0] if behind else Normalize(0.0, 1.0)
    described = _levels(last) if isinstance(last, QuantizePixels) else _normalized(last)
    return {"order": transforms[places[0]].order, **described}


def _normalized(normalize: Normalize) -> dict[str, Any]:
    mean, std = (np.asarray(values.flatten().tolist()) for values in (normalize.mean, normalize.std))
    ends = (np.asarray(PIXELS)[:, None] - mean) / std
    return {
        "mean": mean.tolist(),
        "std": std.tolist(),
        "range": [float(ends.min()), float(ends.max())],
        "value": "(pixel - mean) / std; where the input has an integer dtype, that over its scale, rounded half up",
    }


def _levels(quantize: QuantizePixels) -> dict[str, Any]:
    return {
        "mean": [0.0],
        "std": [quantize.step],
        "range": [0.0, quantize.last],
        "bits": quantize.bits,
        "value": f"min({quantize.last:g}, floor(pixel / {quantize.step:g} + 0.5)), a whole number in any dtype",
    }
