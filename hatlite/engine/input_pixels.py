"""What a pixel has to become before it enters an exported network, as the transforms of validation do it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hatlite.data.transforms import DeleteKeys, Normalize, RenameKeys, ToTensor

__all__ = ["describe_pixels"]

PIXELS = (0, 255)
NEUTRAL = (DeleteKeys, RenameKeys)
"""Transforms that leave every pixel as it is."""


def describe_pixels(transforms: Sequence[Any]) -> Mapping[str, Any] | None:
    """Return how the input of a network is made of a picture of 8 bits; None where that cannot be told.

    ``order`` is RGB, BGR or YUV (BT.601, full range, chroma offset 128), ``mean`` and ``std`` have one number or one
    per channel in that order, and ``range`` are the values of pixels 0 and 255, the least and the greatest of all
    channels: (pixel − mean) / std.

    Args:
        transforms: Of the validation data. None is returned if they have no ToTensor, several Normalize, or others
            behind ToTensor that may change pixels.
    """
    places = [index for index, one in enumerate(transforms) if isinstance(one, ToTensor)]
    if len(places) != 1:
        return None
    behind = [one for one in transforms[places[0] + 1 :] if not isinstance(one, NEUTRAL)]
    if len(behind) > 1 or not all(isinstance(one, Normalize) for one in behind):
        return None
    tensor = transforms[places[0]]
    normalize = behind[0] if behind else Normalize(0.0, 1.0)
    mean, std = (np.asarray(values.flatten().tolist()) for values in (normalize.mean, normalize.std))
    ends = (np.asarray(PIXELS)[:, None] - mean) / std
    return {
        "order": "YUV" if tensor.to_yuv else "BGR" if tensor.to_bgr else "RGB",
        "mean": mean.tolist(),
        "std": std.tolist(),
        "range": [float(ends.min()), float(ends.max())],
        "value": "(pixel - mean) / std; where the input has an integer dtype, that over its scale, rounded half up",
    }
