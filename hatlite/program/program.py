"""An integer program: named inputs, operators in order, named outputs. It is all that crosses to the device side."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.errors import ProgramError
from hatlite.program.constants import constant
from hatlite.program.ops import Operator
from hatlite.qparams import INT_TYPES, int_range

__all__ = ["IntProgram", "Port", "Scale", "TensorType"]

Scale = float | NDArray[np.float64]


def _scale(scale: Any, what: str) -> Scale:
    """A Python float, or a read-only (C,) float64 array for a raw accumulator."""
    if np.ndim(scale) == 0:
        scale = float(scale)
        good = math.isfinite(scale) and scale > 0
    else:
        scale = constant(scale, "float64", f"{what}: scale")
        good = scale.ndim == 1 and bool((np.isfinite(scale) & (scale > 0)).all())
    if not good:
        raise ProgramError(f"{what}: scale is {scale}; expected finite numbers above 0.")
    return scale


def _check_dtype(dtype: str, what: str) -> None:
    if dtype not in INT_TYPES:
        raise ProgramError(f"{what}: dtype is {dtype!r}; expected one of {', '.join(INT_TYPES)}.")


@dataclass(frozen=True, eq=False)
class TensorType:
    """What a value is: (N, H, W, C) integers with real = scale · q.

    Attributes:
        shape: (H, W, C); the batch is free.
        dtype: ``int8``, ``uint8``, ``int16`` or ``int32`` (a raw accumulator).
        scale: One number, or (C,) float64 for a raw accumulator.
        clamp: Smallest and largest integer that it can be; None, as what all of the type has becomes, is no limit.
    """

    shape: tuple[int, int, int]
    dtype: str
    scale: Scale
    clamp: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or any(not isinstance(n, int) or n < 1 for n in self.shape):
            raise ProgramError(f"shape is {self.shape}; expected (height, width, channels) of 1 or more.")
        _check_dtype(self.dtype, "value")
        object.__setattr__(self, "scale", _scale(self.scale, "value"))
        whole = int_range(self.dtype)
        if self.clamp == whole:
            object.__setattr__(self, "clamp", None)
        if self.clamp is not None and not whole[0] <= self.clamp[0] < self.clamp[1] <= whole[1]:
            raise ProgramError(f"value: clamp is {self.clamp}; expected two rising integers of {self.dtype}.")

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer that it can be."""
        return self.clamp or int_range(self.dtype)

    @property
    def magnitude(self) -> int:
        """Largest absolute integer that it can be."""
        return max(map(abs, self.limits))


@dataclass(frozen=True, eq=False)
class Port:
    """A named input or output.

    Attributes:
        name: Name that the caller uses, such as ``img`` or ``cls_logits_s8``.
        value: Name of the value inside the program.
        dtype: Integer type of the value.
        scale: Real value of one step, as in :class:`TensorType`; (C,) also for an output whose channels have gains.
        layout: ``NHWC``.
        stride: Pixels of the input image per pixel of this port.
    """

    name: str
    value: str
    dtype: str
    scale: Scale
    layout: str = "NHWC"
    stride: int = 1

    def __post_init__(self) -> None:
        _check_dtype(self.dtype, f"port {self.name!r}")
        object.__setattr__(self, "scale", _scale(self.scale, f"port {self.name!r}"))
        if self.layout != "NHWC":
            raise ProgramError(f"port {self.name!r}: layout is {self.layout!r}; this version knows NHWC.")


@dataclass(frozen=True, eq=False)
class IntProgram:
    """A network in integers.

    Attributes:
        name: For titles and file names.
        march: Name of the march whose arithmetic it uses.
        inputs: What the caller provides.
        outputs: What the caller gets.
        ops: Operators in an order in which they can run.
        values: Type of every value by name, inputs included.
        metadata: Plain values that travel along (classes, task, strides …); no operator depends on them.
    """

    name: str
    march: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    ops: tuple[Operator, ...]
    values: dict[str, TensorType]
    metadata: dict[str, Any] = field(default_factory=dict)
