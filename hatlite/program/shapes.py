"""Shapes that operators give, from the shapes they read; (H, W, C), the batch is free."""

from collections.abc import Callable

from hatlite.ops.integer.reference import output_side
from hatlite.program.ops import (
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
    Rescale,
    ResizeBilinear2x,
    ResizeNearest,
    Slice,
    Sub,
)

__all__ = ["Shape", "output_shape"]

Shape = tuple[int, int, int]


def _conv2d(op: Conv2d, x: Shape) -> Shape:
    channels, *kernel, _ = op.weight.values.shape
    height, width = (
        output_side(side, k, stride=s, padding=p, dilation=d)
        for side, k, s, p, d in zip(x[:2], kernel, op.stride, op.padding, op.dilation, strict=True)
    )
    return height, width, channels


def _max_pool2d(op: MaxPool2d, x: Shape) -> Shape:
    height, width = (
        output_side(side, k, stride=s, padding=p)
        for side, k, s, p in zip(x[:2], op.kernel, op.stride, op.padding, strict=True)
    )
    return height, width, x[2]


def _resized(x: Shape, factor: int) -> Shape:
    return x[0] * factor, x[1] * factor, x[2]


def _padded(op: Pad, x: Shape) -> Shape:
    top, bottom, left, right = op.edges
    return x[0] + top + bottom, x[1] + left + right, x[2]


def _sliced(op: Slice, x: Shape) -> Shape:
    height, width, channels = (len(range(*ends)) for ends in zip(op.start, op.stop, op.step, strict=True))
    return height, width, channels


def _depth_to_space(op: DepthToSpace, x: Shape) -> Shape:
    height, width = op.block
    return x[0] * height, x[1] * width, x[2] // (height * width)


SHAPES: dict[type[Operator], Callable[..., Shape]] = {
    Conv2d: _conv2d,
    Linear: lambda op, x: (*x[:2], len(op.weight.values)),
    Add: lambda op, a, b: a,
    Lut: lambda op, x: x,
    Pad: _padded,
    Slice: _sliced,
    DepthToSpace: _depth_to_space,
    Sub: lambda op, a, b: a,
    Mul: lambda op, a, b: a,
    MaxPool2d: _max_pool2d,
    ResizeNearest: lambda op, x: _resized(x, op.factor),
    ResizeBilinear2x: lambda op, x: _resized(x, 2),
    Rescale: lambda op, x: x,
    Concat: lambda op, *parts: (*parts[0][:2], sum(part[2] for part in parts)),
}


def output_shape(op: Operator, *inputs: Shape) -> Shape:
    """Return the (H, W, C) that `op` makes of `inputs`; a side below 1 means that a window does not fit."""
    return SHAPES[type(op)](op, *inputs)
