"""The operators of an integer program in plain NumPy int64: short enough to check by eye, exact by construction.

Legend: N batch, H and W input size, Y and X output size, I and O channels, G groups, h and w kernel; ``x_NHWI`` holds
activations, ``w_OhwI`` weights, ``acc_NYXO`` accumulators. Any integer dtype comes in, int64 goes out; a caller that
rounds passes the accumulator to :func:`~hatlite.ops.integer.fixed_point.requantize`.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.ops.integer.fixed_point import requantize

__all__ = [
    "add",
    "bilinear2x_accumulate",
    "concat",
    "conv2d",
    "depth_to_space",
    "linear",
    "lookup",
    "max_pool2d",
    "mul",
    "output_side",
    "pad",
    "resize_nearest",
    "slice_of",
]

Ints = NDArray[Any]
Pair = tuple[int, int]
Triple = tuple[int, int, int]

BILINEAR_KERNEL = np.outer([1, 2, 1], [1, 2, 1])
"""(3, 3) weights on pixels that were doubled; their sum 16 belongs into the requantise multiplier."""


def output_side(side: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Return the number of window positions along one axis; below 1 when the kernel does not fit."""
    return (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def conv2d(
    x_NHWI: Ints,
    w_OhwI: Ints,
    bias_O: Ints,
    *,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> NDArray[np.int64]:
    """Return the (N, Y, X, O) accumulators of a cross-correlation plus bias.

    Args:
        x_NHWI: Activations.
        w_OhwI: Weights, with I / groups input channels each.
        bias_O: Added to every pixel.
        stride: Step of the window, (height, width) as all pairs.
        padding: Zeros on both sides of each axis.
        dilation: Distance of kernel taps.
        groups: Output channels o of group g see only the input channels of group g.
    """
    x_NHWI = _padded(x_NHWI, padding, 0)
    x_NHWGI = x_NHWI.reshape(*x_NHWI.shape[:3], groups, -1)
    w_GOhwI = w_OhwI.astype(np.int64).reshape(groups, -1, *w_OhwI.shape[1:])
    acc_NYXO: Any = bias_O.astype(np.int64)
    for tap, window_NYXGI in _windows(x_NHWGI, w_OhwI.shape[1:3], stride, dilation):
        sums_NYXGO = np.einsum("nyxgi,goi->nyxgo", window_NYXGI, w_GOhwI[:, :, *tap])
        acc_NYXO = acc_NYXO + sums_NYXGO.reshape(*sums_NYXGO.shape[:3], -1)
    return acc_NYXO


def linear(x_NHWI: Ints, w_OhwI: Ints, bias_O: Ints) -> NDArray[np.int64]:
    """Return the (N, H, W, O) accumulators of a matrix on the channels of each pixel, a convolution of kernel 1."""
    return conv2d(x_NHWI, w_OhwI, bias_O)


def add(a: Ints, b: Ints, multipliers: Pair, shift: int, *, quant_min: int, quant_max: int) -> NDArray[np.int64]:
    """Return ``clamp((a · Ma + b · Mb + 2^(shift−1)) >> shift)`` for two arrays of one shape; Mb < 0 subtracts."""
    acc = a.astype(np.int64) * multipliers[0] + b.astype(np.int64) * multipliers[1]
    return requantize(acc, 1, shift, quant_min, quant_max)


def mul(a_NHWC: Ints, b_NHWC: Ints) -> NDArray[np.int64]:
    """Return the products, an accumulator; b has the shape of a, or one value per image and channel, (N, 1, 1, C)."""
    return a_NHWC.astype(np.int64) * b_NHWC.astype(np.int64)


def lookup(x_NHWC: Ints, table: Ints, lowest: int) -> NDArray[np.int64]:
    """Return every value's entry of `table`, whose first one is that of `lowest`."""
    return table.astype(np.int64)[x_NHWC.astype(np.int64) - lowest]


def max_pool2d(
    x_NHWC: Ints, *, kernel: Pair, stride: Pair, padding: Pair = (0, 0), lowest: int = np.iinfo(np.int64).min
) -> NDArray[np.int64]:
    """Return the (N, Y, X, C) largest values of each window; padding holds `lowest`, which never wins."""
    x_NHWC = _padded(x_NHWC, padding, lowest)
    windows = [window for _, window in _windows(x_NHWC, kernel, stride, (1, 1))]
    return np.maximum.reduce(windows)


def pad(x_NHWC: Ints, edges: tuple[int, int, int, int]) -> NDArray[np.int64]:
    """Return the picture with zeros at (top, bottom, left, right)."""
    top, bottom, left, right = edges
    return np.pad(x_NHWC.astype(np.int64), ((0, 0), (top, bottom), (left, right), (0, 0)))


def resize_nearest(x_NHWC: Ints, factor: int) -> NDArray[np.int64]:
    """Return (N, H · factor, W · factor, C), each pixel repeated."""
    return x_NHWC.astype(np.int64).repeat(factor, axis=1).repeat(factor, axis=2)


def bilinear2x_accumulate(x_NHWC: Ints) -> NDArray[np.int64]:
    """Return 16 times the bilinear doubling, (N, 2H, 2W, C), with half-pixel centres.

    Between two pixels a and b lie (3a + b) / 4 and (a + 3b) / 4. On nearest-doubled pixels a a b b these are the
    averages with weights 1 2 1; the edge repeats.
    """
    doubled = np.pad(resize_nearest(x_NHWC, 2), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    acc = np.zeros_like(doubled[:, 2:, 2:])
    for tap, window in _windows(doubled, (3, 3), (1, 1), (1, 1)):
        acc += BILINEAR_KERNEL[tap] * window
    return acc


def concat(*parts_NHWC: Ints) -> NDArray[np.int64]:
    """Return (N, H, W, C1 + C2 + …): channels of integers that share one scale, one after the other."""
    return np.concatenate(parts_NHWC, axis=-1).astype(np.int64)


def slice_of(x_NHWC: Ints, start: Triple, stop: Triple, step: Triple) -> NDArray[np.int64]:
    """Return every step-th row, column and channel from start on and before stop, (height, width, channels) each."""
    ranges = (slice(*ends) for ends in zip(start, stop, step, strict=True))
    return x_NHWC[:, *ranges].astype(np.int64)


def depth_to_space(x_NHWC: Ints, block: Pair) -> NDArray[np.int64]:
    """Return (N, H · h, W · w, C / (h · w)): each pixel becomes a block (h, w), filled from h · w channels in a row."""
    batch, rows, columns, _ = x_NHWC.shape
    height, width = block
    x_NHWChw = x_NHWC.astype(np.int64).reshape(batch, rows, columns, -1, height, width)
    return x_NHWChw.transpose(0, 1, 4, 2, 5, 3).reshape(batch, rows * height, columns * width, -1)


def _padded(x_NHWC: Ints, padding: Pair, value: int) -> NDArray[np.int64]:
    sides = ((0, 0), (padding[0], padding[0]), (padding[1], padding[1]), (0, 0))
    return np.pad(x_NHWC.astype(np.int64), sides, constant_values=value)


def _windows(x: Ints, kernel: Any, stride: Pair, dilation: Pair) -> Iterator[tuple[Pair, Ints]]:
    """Yield each kernel tap (h, w) with the (N, Y, X, …) input pixels that it touches, one per output pixel."""
    rows = output_side(x.shape[1], kernel[0], stride=stride[0], dilation=dilation[0])
    columns = output_side(x.shape[2], kernel[1], stride=stride[1], dilation=dilation[1])
    for h, w in np.ndindex(*kernel):
        top, left = h * dilation[0], w * dilation[1]
        bottom, right = top + stride[0] * (rows - 1) + 1, left + stride[1] * (columns - 1) + 1
        yield (h, w), x[:, top : bottom : stride[0], left : right : stride[1]]
