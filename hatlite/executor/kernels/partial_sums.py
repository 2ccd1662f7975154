"""A convolution as a sum of smaller ones, where its own sums are too long for float32.

An int16 input is 256 · high + low with a signed high and an unsigned low byte, so its convolution is 256 times that of
the high bytes plus that of the low ones; the 0 of the padding is two bytes 0. A 16-bit weight is 256 · high + low with
both of them signed. And a sum over input channels is the sum of the sums over groups of them. Each part is exact in
float32 (Σ|w| · max|x| + |b| < 2^24), and in float64 their sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hatlite.ops.integer.engine_rules import FLOAT32_EXACT
from hatlite.program import Conv2d, Linear
from hatlite.qparams import int_type

__all__ = ["BYTES_OF", "Part", "combine", "parts_of"]

BYTES_OF = {"int16": (("int8", 256), ("uint8", 1))}
"""Type of a wide input → its bytes: their type and what they count for."""

MOST_GROUPS = 18
"""Up to here groups of channels were measured to be faster than one convolution in float64."""


@dataclass(frozen=True, eq=False)
class Part:
    """One convolution of the sum.

    Attributes:
        dtype: Type of what it reads: the input itself, or one of its bytes.
        factor: What these count for, a power of two: times it its sums are as exact as without.
        worth: The same for its weights.
        channels: Input channels that it reads.
        weight: (O, h, w, I / groups) of these channels, or one of their bytes: int8, of 16-bit weights int16.
        bias: (O,) int64; 0 in all parts but one.
    """

    dtype: str
    factor: int
    worth: int
    channels: slice
    weight: NDArray[np.int8] | NDArray[np.int16]
    bias: NDArray[np.int64]


def parts_of(op: Conv2d | Linear, x_dtype: str, *, pointwise_from: float) -> tuple[Part, ...] | None:
    """Return the fewest parts that are exact in float32, or None where one convolution in float64 is faster.

    Args:
        op: Its weights and bias are used as they are.
        x_dtype: Integer type of its input.
        pointwise_from: Output channels from which on a 1×1 convolution of 16 bits gains more than it costs to take it
            apart: in float64 it is one fast matrix product, which larger kernels and depthwise ones are not.
    """
    outputs, *kernel, inputs = op.weight.values.shape
    wide = x_dtype in BYTES_OF or op.weight.dtype in BYTES_OF
    if wide and kernel == [1, 1] and inputs > 1 and outputs < pointwise_from:
        return None
    read = BYTES_OF.get(x_dtype, ((x_dtype, 1),))
    most = MOST_GROUPS if getattr(op, "groups", 1) == 1 else 1  # of grouped convolutions the sums are short already
    for groups in range(1, min(most, inputs) + 1):
        parts = _divided(op, read, groups)
        if all(_is_exact(part) for part in parts):
            return parts
    return None


def _divided(op: Conv2d | Linear, read: Sequence[tuple[str, int]], groups: int) -> tuple[Part, ...]:
    parts = []
    for dtype, factor in read:
        for values, worth in _bytes_of(op.weight.values):
            start = 0
            for weight in np.array_split(values, groups, axis=3):
                stop = start + weight.shape[3]
                channels = slice(start, stop) if groups > 1 else slice(None)
                parts.append(Part(dtype, factor, worth, channels, weight, np.zeros(len(weight), np.int64)))
                start = stop
    return (*parts[:-1], replace(parts[-1], bias=op.bias.astype(np.int64)))


def _bytes_of(weight: NDArray[np.int8] | NDArray[np.int16]) -> list[tuple[NDArray[Any], int]]:
    """Return weights of −128…128, each with what they count for."""
    if weight.dtype == np.int8:
        return [(weight, 1)]
    low = (weight & 255).astype(np.int16)
    low -= 256 * (low >= 128)
    return [(((weight.astype(np.int32) - low) >> 8).astype(np.int16), 256), (low, 1)]


def _is_exact(part: Part) -> bool:
    sums = np.abs(part.weight.astype(np.int64)).sum(axis=(1, 2, 3)) * int_type(part.dtype).magnitude
    return int((sums + np.abs(part.bias)).max()) < FLOAT32_EXACT


def combine(sums: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the accumulators as float64 from what each part gave, times factor and worth: (N, O, Y, X) float32."""
    acc = sums[0].double()
    for more in sums[1:]:
        acc.add_(more)
    return acc
