"""How large accumulators can become, from the actual weights: exact integers, no limit of width."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.march import Arithmetic
from hatlite.program.ops import Add, Conv2d, Linear

__all__ = ["accumulator_peak", "accumulator_range", "add_peak", "register_bits"]

Pair = tuple[int, int]


def accumulator_peak(op: Conv2d | Linear, limits: Pair) -> NDArray[Any]:
    """Return ``Σ|w| · max|x| + |b|`` per output channel, (O,) int64: no partial sum in any order exceeds it.

    Args:
        op: Its weights and bias are used as they are.
        limits: Smallest and largest integer of the input; the bound takes its largest magnitude.
    """
    weights = np.abs(op.weight.values.astype(np.int64)).sum(axis=(1, 2, 3))
    return weights * max(map(abs, limits)) + np.abs(op.bias.astype(np.int64))


def accumulator_range(
    weight_OhwI: NDArray[Any], bias_O: NDArray[Any], limits: Pair
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the smallest and the largest accumulator that some input reaches, (O,) int64 each.

    Args:
        weight_OhwI: Integers.
        bias_O: Integers.
        limits: Smallest and largest integer of the input; padding is the integer 0, which lies between.
    """
    low, high = limits
    rows = weight_OhwI.astype(np.int64).reshape(len(weight_OhwI), -1)
    up, down = np.maximum(rows, 0).sum(axis=1), np.minimum(rows, 0).sum(axis=1)
    bias = bias_O.astype(np.int64)
    return up * low + down * high + bias, up * high + down * low + bias


def add_peak(op: Add, *limits: Pair) -> int:
    """Return the largest absolute value of ``a · Ma + b · Mb``; `limits` are those of a and b."""
    magnitudes = (max(map(abs, ends)) for ends in limits)
    return sum(abs(m) * peak for m, peak in zip(op.multipliers, magnitudes, strict=True))


def register_bits(op: Conv2d | Linear, input_dtype: str, arithmetic: Arithmetic) -> int:
    """Return the width of the accumulator of `op`: the wide one of 16-bit factors, unless it leaves the program."""
    if op.requantize is None:
        return arithmetic.accumulator_bits
    return arithmetic.accumulator_bits_behind(input_dtype, op.weight.dtype)
