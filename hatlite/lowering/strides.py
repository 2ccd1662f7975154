"""How many pixels of the image lie between two cells of a value: the product of the steps on the way to it."""

from collections.abc import Iterable, Mapping
from fractions import Fraction

from hatlite.program import Conv2d, DepthToSpace, MaxPool2d, Operator, ResizeBilinear2x, ResizeNearest, Slice

__all__ = ["value_strides"]


def value_strides(inputs: Iterable[str], ops: Iterable[Operator]) -> Mapping[str, int]:
    """Return the stride of every value, along its width; 1 also where cells are smaller than the image's pixels.

    Sizes alone do not tell it: 320 pixels are 3 cells at stride 128. Of values that are put together the coarsest
    counts, since the others have been resized onto it or broadcast.

    Args:
        inputs: Names of the values that enter.
        ops: Operators in order.
    """
    exact = dict.fromkeys(inputs, Fraction(1))
    for op in ops:
        exact[op.output] = max(exact[name] for name in op.inputs) * _step(op)
    return {name: max(int(stride), 1) for name, stride in exact.items()}


def _step(op: Operator) -> Fraction:
    if isinstance(op, (Conv2d, MaxPool2d)):
        return Fraction(op.stride[1])
    if isinstance(op, ResizeNearest):
        return Fraction(1, op.factor)
    if isinstance(op, ResizeBilinear2x):
        return Fraction(1, 2)
    if isinstance(op, DepthToSpace):
        return Fraction(1, op.block[1])
    return Fraction(op.step[1]) if isinstance(op, Slice) else Fraction(1)
