"""Which values of an activation the observers look at: always the same, whatever the batch or the memory layout."""

import math
from itertools import count

import torch

__all__ = ["SAMPLE", "STRIDE", "in_memory_order", "magnitudes", "pixel_stride"]

STRIDE = 16
"""One pixel of about so many is looked at in large activations."""
SAMPLE = 4096
"""An image gives at least about so many values, or all that it has."""


def in_memory_order(x: torch.Tensor) -> torch.Tensor:
    """Return a view of `x` with its dimensions in the order of memory, largest stride first.

    torch reduces a channels-last tensor many times faster through this view than through (N, C, H, W), of which it
    would take single values far apart.
    """
    return x.permute(sorted(range(x.ndim), key=lambda dim: -x.stride(dim)))


def pixel_stride(channels: int, height: int, width: int) -> int:
    """Return the distance between two sampled pixels of an image, in row-major order.

    Beyond 1 it has no factor in common with the width, so that every column has its turn, not one of sixteen.
    """
    pixels = height * width
    wanted = min(max(channels * pixels // SAMPLE, 1), STRIDE, pixels)
    return next(stride for stride in count(wanted) if math.gcd(stride, width) == 1 or stride == 1)


def magnitudes(x: torch.Tensor, relu: bool = False) -> torch.Tensor:
    """Return the sampled |x|, (n,) float32, in no particular order.

    All channels of every sampled pixel are taken. Which pixels these are depends on the size of the image alone.

    Args:
        x: Real values, (N, C, H, W); of any other number of dimensions all values are taken.
        relu: Negative values count as 0.
    """
    x = x.detach()
    if x.ndim == 4:
        stride = pixel_stride(*x.shape[1:])
        x = x.flatten(2)[:, :, stride // 2 :: stride]
    x = in_memory_order(x)
    return (x.clamp_min(0.0) if relu else x.abs()).flatten().float()
