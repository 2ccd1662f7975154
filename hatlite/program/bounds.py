"""How large accumulators can become, from the actual weights: exact integers, no limit of width."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.program.ops import Add, Conv2d, Linear
from hatlite.qparams import int_type

__all__ = ["accumulator_peak", "accumulator_range", "add_peak"]


def accumulator_peak(op: Conv2d | Linear, input_dtype: str) -> NDArray[Any]:
    """Return ``Σ|w| · max|x| + |b|`` per output channel, (O,) int64: no partial sum in any order exceeds it.

    Args:
        op: Its weights and bias are used as they are.
        input_dtype: Integer type of the input; the bound takes its largest magnitude.
    """
    weights = np.abs(op.weight.values.astype(np.int64)).sum(axis=(1, 2, 3))
    return weights * int_type(input_dtype).magnitude + np.abs(op.bias.astype(np.int64))


def accumulator_range(op: Conv2d | Linear, input_dtype: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the smallest and the largest accumulator per output channel, bias included, both (O,) int64.

    Padding only removes terms, and 0 is among the inputs, so that the range holds at borders too.

    Args:
        op: Its weights and bias are used as they are.
        input_dtype: Integer type of the input.
    """
    weights = op.weight.values.astype(np.int64).reshape(len(op.bias), -1)
    kind = int_type(input_dtype)
    ends = np.stack([weights * kind.quant_min, weights * kind.quant_max])
    bias = op.bias.astype(np.int64)
    return ends.min(axis=0).sum(axis=1) + bias, ends.max(axis=0).sum(axis=1) + bias


def add_peak(op: Add, dtype_a: str, dtype_b: str) -> int:
    """Return the largest absolute value of ``a · Ma + b · Mb``."""
    magnitudes = (int_type(dtype_a).magnitude, int_type(dtype_b).magnitude)
    return sum(abs(m) * peak for m, peak in zip(op.multipliers, magnitudes, strict=True))
