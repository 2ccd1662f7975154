"""The reference engine: NumPy int64, straight from :mod:`hatlite.ops.integer.reference`. Needs no torch."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.executor.kernels.stepwise import Stepwise
from hatlite.ops.integer import reference
from hatlite.ops.integer.fixed_point import requantize
from hatlite.program import (
    Add,
    Concat,
    Conv2d,
    DepthToSpace,
    Linear,
    Lut,
    MaxPool2d,
    Mul,
    Operator,
    Pad,
    Requantize,
    Rescale,
    ResizeBilinear2x,
    ResizeNearest,
    Slice,
    Sub,
)
from hatlite.qparams import int_range

__all__ = ["Engine"]

Ints = NDArray[Any]


def _finish(acc: Ints, rule: Requantize | None, activation_min: int | None = None) -> Ints:
    if rule is not None:
        return requantize(acc, rule.multiplier, rule.shift, rule.quant_min, rule.quant_max)
    return acc if activation_min is None else np.maximum(acc, activation_min)


def _conv2d(op: Conv2d, x: Ints) -> Ints:
    acc = reference.conv2d(
        x,
        op.weight.values,
        op.bias,
        stride=op.stride,
        padding=op.padding,
        dilation=op.dilation,
        groups=op.groups,
    )
    return _finish(acc, op.requantize, op.activation_min)


def _linear(op: Linear, x: Ints) -> Ints:
    return _finish(reference.linear(x, op.weight.values, op.bias), op.requantize, op.activation_min)


def _add(op: Add, a: Ints, b: Ints) -> Ints:
    rule = op.requantize
    shift = int(rule.shift[0])
    return reference.add(a, b, op.signed_multipliers, shift, quant_min=rule.quant_min, quant_max=rule.quant_max)


def _max_pool2d(op: MaxPool2d, x: Ints) -> Ints:
    lowest = int_range(x.dtype.name)[0]
    return reference.max_pool2d(x, kernel=op.kernel, stride=op.stride, padding=op.padding, lowest=lowest)


KERNELS: dict[type[Operator], Callable[..., Ints]] = {
    Conv2d: _conv2d,
    Linear: _linear,
    Add: _add,
    MaxPool2d: _max_pool2d,
    ResizeNearest: lambda op, x: reference.resize_nearest(x, op.factor),
    ResizeBilinear2x: lambda op, x: _finish(reference.bilinear2x_accumulate(x), op.requantize),
    Rescale: lambda op, x: _finish(x, op.requantize),
    Sub: _add,
    Mul: lambda op, a, b: _finish(reference.mul(a, b), op.requantize),
    Lut: lambda op, x: reference.lookup(x, op.table, int_range(x.dtype.name)[0]),
    Pad: lambda op, x: reference.pad(x, op.edges),
    Slice: lambda op, x: reference.slice_of(x, op.start, op.stop, op.step),
    DepthToSpace: lambda op, x: reference.depth_to_space(x, op.block),
    Concat: lambda op, *parts: reference.concat(*parts),
}


class Engine(Stepwise):
    """Runs operators on NHWC integer arrays of the values' own dtypes."""

    def enter(self, array: Ints) -> Ints:
        """Return a caller's array as this engine holds it."""
        return array

    def session(self) -> AbstractContextManager[None]:
        """Everything that computes runs inside."""
        return nullcontext()

    def compute(self, op: Operator, inputs: list[Ints], dying: Sequence[str] = ()) -> Ints:
        """Return the output of `op`."""
        return KERNELS[type(op)](op, *inputs).astype(self._program.values[op.output].dtype)

    def leave(self, value: Ints, dtype: str) -> Ints:
        """Return a value as an NHWC array of `dtype`."""
        return value.astype(dtype, copy=False)
