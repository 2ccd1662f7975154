"""Which integers of a program stand at the limits of their range, where what lies beyond is lost."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.program.ops import Lut
from hatlite.program.program import IntProgram

__all__ = ["Limits", "count_saturated", "limits_of"]

Limits = tuple[int | None, int]
"""Lowest integer, None where it is the 0 at which a ReLU or a value that cannot be negative ends, and highest."""


def limits_of(program: IntProgram) -> dict[str, Limits]:
    """Return the limits of every value that is rounded to its range.

    Left out is what cannot saturate: raw accumulators, and operators that only select among the integers of others.
    """
    ranges = {port.value: program.values[port.value].limits for port in program.inputs}
    for op in program.ops:
        rule = getattr(op, "requantize", None)
        if rule is not None:
            ranges[op.output] = (rule.quant_min, rule.quant_max)
        elif isinstance(op, Lut):
            ranges[op.output] = program.values[op.output].limits
    return {name: (low if low < 0 else None, high) for name, (low, high) in ranges.items()}


def count_saturated(values: NDArray[Any], limits: Limits) -> int:
    """Return how many of `values`, integers of any shape, stand at one of `limits`.

    It is an upper bound of what was clamped: a result that rounds to the limit itself counts too.
    """
    low, high = limits
    return int(np.count_nonzero(values == high)) + (0 if low is None else int(np.count_nonzero(values == low)))
