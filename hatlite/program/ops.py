"""Operators of an integer program, one frozen dataclass each.

Layouts: activations NHWC, weights OHWI. Every pair is (height, width). Padding is symmetric and holds the integer 0.
An operator that rounds says how in its :class:`~hatlite.program.constants.Requantize`; one without leaves its int32
accumulator. ReLU is the lower clamp.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hatlite.program.constants import UNKNOWN_SOURCE, Requantize, Source, Weight, constant

__all__ = [
    "OPERATORS",
    "Add",
    "Concat",
    "Conv2d",
    "DepthToSpace",
    "Linear",
    "Lut",
    "MaxPool2d",
    "Mul",
    "Operator",
    "Pad",
    "Rescale",
    "ResizeBilinear2x",
    "ResizeNearest",
    "Slice",
    "Sub",
]

Pair = tuple[int, int]
Triple = tuple[int, int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class Operator:
    """What all operators have.

    Attributes:
        name: Unique in the program; by convention the module path of the call site.
        inputs: Names of the values that it reads.
        output: Name of the one value that it writes.
        source: Module path and source line of the call.
    """

    kind: ClassVar[str] = ""
    arity: ClassVar[int | None] = 1
    """Values that it reads; None for any number from 1 on."""

    name: str
    inputs: tuple[str, ...]
    output: str
    source: Source = UNKNOWN_SOURCE


@dataclass(frozen=True, eq=False, kw_only=True)
class _Weighted(Operator):
    weight: Weight
    bias: NDArray[np.int32]
    requantize: Requantize | None
    activation_min: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "bias", constant(self.bias, "int32", f"{self.name}: bias"))


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv2d(_Weighted):
    """Cross-correlation plus bias.

    Attributes:
        weight: (O, kh, kw, I / groups) int8 or int16.
        bias: (O,) int32 at the scale Sx · Sw.
        requantize: From accumulator to output, or None: the output is the int32 accumulator.
        activation_min: With ``requantize=None``, a lower clamp of the accumulator: 0 applies ReLU.
        stride: Step of the window.
        padding: Zeros added on both sides of each axis.
        dilation: Distance of kernel taps.
        groups: Groups of channels; depthwise when equal to both channel counts.
    """

    kind: ClassVar[str] = "conv2d"
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(_Weighted):
    """A matrix on the channels of every pixel, (…, I) → (…, O).

    Attributes:
        weight: (O, 1, 1, I) int8 or int16.
        bias: (O,) int32 at the scale Sx · Sw.
        requantize: As in :class:`Conv2d`.
        activation_min: As in :class:`Conv2d`.
    """

    kind: ClassVar[str] = "linear"


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Operator):
    """``clamp((a · Ma + b · Mb + 2^(s−1)) >> s)`` of two values of one shape.

    Attributes:
        multipliers: (Ma, Mb), 20 bits each.
        requantize: Shift s, (1,), and clamp; its multiplier is 1.
    """

    kind: ClassVar[str] = "add"
    arity: ClassVar[int | None] = 2
    signs: ClassVar[Pair] = (1, 1)
    multipliers: Pair
    requantize: Requantize

    @property
    def signed_multipliers(self) -> Pair:
        """(Ma, Mb) as the sum takes them."""
        return self.multipliers[0] * self.signs[0], self.multipliers[1] * self.signs[1]


@dataclass(frozen=True, eq=False, kw_only=True)
class Sub(Add):
    """``clamp((a · Ma − b · Mb + 2^(s−1)) >> s)`` of two values of one shape; its fields are those of an add."""

    kind: ClassVar[str] = "sub"
    signs: ClassVar[Pair] = (1, -1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Mul(Operator):
    """``clamp((a · b · M + 2^(s−1)) >> s)`` of two values of one shape; b may also be (1, 1, C), one value per channel.

    Attributes:
        requantize: One odd multiplier M, shift s, and clamp.
    """

    kind: ClassVar[str] = "mul"
    arity: ClassVar[int | None] = 2
    requantize: Requantize


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool2d(Operator):
    """Largest value of each window; padding never wins. Keeps dtype and scale.

    Attributes:
        kernel: Size of the window.
        stride: Step of the window.
        padding: Pixels added on both sides, at most half the kernel.
    """

    kind: ClassVar[str] = "max_pool2d"
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class ResizeNearest(Operator):
    """Repeat each pixel `factor` times on both axes. Keeps dtype and scale."""

    kind: ClassVar[str] = "resize_nearest"
    factor: int


@dataclass(frozen=True, eq=False, kw_only=True)
class ResizeBilinear2x(Operator):
    """Double the size with half-pixel centres: nearest ×2, edge pad 1, [1 2 1] ⊗ [1 2 1] with sum 16, requantise."""

    kind: ClassVar[str] = "resize_bilinear2x"
    requantize: Requantize


@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(Operator):
    """The channels of all inputs, one after the other. Keeps dtype and scale, which all inputs share."""

    kind: ClassVar[str] = "concat"
    arity: ClassVar[int | None] = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Pad(Operator):
    """Zeros around the picture. Keeps dtype and scale.

    Attributes:
        edges: Pixels added at (top, bottom, left, right).
    """

    kind: ClassVar[str] = "pad"
    edges: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class Slice(Operator):
    """A range of rows, columns and channels. Keeps dtype and scale.

    Attributes:
        start: First (row, column, channel).
        stop: First that is no longer taken, at most the size of the input.
        step: Distance of what is taken.
    """

    kind: ClassVar[str] = "slice"
    start: Triple
    stop: Triple
    step: Triple = (1, 1, 1)


@dataclass(frozen=True, eq=False, kw_only=True)
class DepthToSpace(Operator):
    """Channels become pixels: output (y·h + i, x·w + j, c) is input (y, x, (c·h + i)·w + j). Keeps dtype and scale.

    Attributes:
        block: (h, w), pixels that one pixel becomes.
    """

    kind: ClassVar[str] = "depth_to_space"
    block: Pair


@dataclass(frozen=True, eq=False, kw_only=True)
class Lut(Operator):
    """Every 8-bit value is replaced by its entry of a table.

    Attributes:
        table: (256,) int32; the entry of −128 or, for an unsigned input, of 0 comes first.
    """

    kind: ClassVar[str] = "lut"
    table: NDArray[np.int32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", constant(self.table, "int32", f"{self.name}: table"))


@dataclass(frozen=True, eq=False, kw_only=True)
class Rescale(Operator):
    """Requantise a value to another scale or type."""

    kind: ClassVar[str] = "rescale"
    requantize: Requantize


OPERATORS: dict[str, Any] = {
    op.kind: op
    for op in (
        Conv2d,
        Linear,
        Add,
        MaxPool2d,
        ResizeNearest,
        ResizeBilinear2x,
        Rescale,
        Concat,
        Sub,
        Mul,
        Lut,
        Pad,
        Slice,
        DepthToSpace,
    )
}
"""Every operator, by kind."""
