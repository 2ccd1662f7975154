"""The way of a picture on the board, as transforms: YUV first, chroma of blocks of 2×2, resized behind that."""

import copy
from collections.abc import Sequence

import numpy as np

from hatlite.data.image import rgb_to_yuv
from hatlite.data.nv12 import nv12_to_yuv, yuv_to_nv12
from hatlite.data.transforms.crop import FixedCrop, RandomCrop
from hatlite.data.transforms.format import Normalize, ToTensor
from hatlite.data.transforms.geometry import Pad, RandomFlip, Resize
from hatlite.data.transforms.sample import Sample, Transform, picture
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["SubsampleChroma", "ToYUV", "board_steps"]

GEOMETRIC = (Resize, Pad, RandomFlip, RandomCrop, FixedCrop)


@OBJECT_REGISTRY.register
class ToYUV:
    """(H, W, 3) uint8 RGB to YUV by :func:`hatlite.data.image.rgb_to_yuv`; what comes behind sees YUV."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return {**sample, "img": rgb_to_yuv(picture(sample, self))}


@OBJECT_REGISTRY.register
class SubsampleChroma:
    """(H, W, 3) uint8 YUV through NV12 and back (:mod:`hatlite.data.nv12`); the size stays, odd sides too."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        img = picture(sample, self)
        height, width = img.shape[:2]
        return {**sample, "img": np.ascontiguousarray(nv12_to_yuv(yuv_to_nv12(img))[:height, :width])}


def board_steps(transforms: Sequence[Transform]) -> dict[str, list[Transform]]:
    """Return the transforms of an evaluation, changed step by step into those of the board.

    Each step has one change more than the one before: pictures are resized and padded in YUV instead of RGB; the camera
    gives NV12 in the size of the file; the accelerator takes NV12 in the size of the network.

    Args:
        transforms: Geometric ones, then ``ToTensor(to_yuv=True)`` and Normalize.

    Raises:
        ConfigError: Others are among them, or they do not end in YUV.
    """
    names = [type(one).__name__ for one in transforms]
    *geometric, last, normalize = transforms if len(transforms) > 1 else (None, None)
    if not isinstance(last, ToTensor) or last.order != "YUV" or not isinstance(normalize, Normalize):
        raise ConfigError(
            f"align_bpu: the transforms of the evaluation are {', '.join(names) or 'none'}; the board gives YUV, so"
            " they must end in ToTensor(to_yuv=True) and Normalize. Train with these too."
        )
    wrong = [type(one).__name__ for one in geometric if not isinstance(one, GEOMETRIC)]
    if wrong:
        raise ConfigError(
            f"align_bpu: {wrong[0]} is among the transforms of the evaluation, and it looks at RGB; expected"
            f" {', '.join(kind.__name__ for kind in GEOMETRIC)} alone before ToTensor."
        )
    moved = [_in_yuv(one) for one in geometric]
    end = [ToTensor(), normalize]
    return {
        "int_infer": list(transforms),
        "resize in YUV": [ToYUV(), *moved, *end],
        "NV12 of the camera": [ToYUV(), SubsampleChroma(), *moved, *end],
        "NV12 of the network": [ToYUV(), SubsampleChroma(), *moved, SubsampleChroma(), *end],
    }


def _in_yuv(transform: Transform) -> Transform:
    """Return it as it is, but a Pad with its colour as YUV."""
    if not isinstance(transform, Pad):
        return transform
    changed = copy.copy(transform)
    color = np.array(transform.value).round().astype(np.uint8).reshape(1, 1, 3)
    changed.value = tuple(float(channel) for channel in rgb_to_yuv(color)[0, 0])
    return changed
