"""Integer types and the one meaning of a quantised number: real = scale · q.

Quantisation is symmetric everywhere, so there is no zero point: the integer 0 is the real number 0.
"""

import math
from dataclasses import dataclass

import numpy as np

from hatlite.errors import QuantizationError

__all__ = ["INT_TYPES", "IntType", "QParams", "int_range", "int_type"]


@dataclass(frozen=True)
class IntType:
    """Facts of an integer type.

    Attributes:
        name: Also the name of the NumPy dtype that stores it.
        quant_min: Smallest value.
        quant_max: Largest value.
    """

    name: str
    quant_min: int
    quant_max: int

    @property
    def magnitude(self) -> int:
        """Largest absolute value, 128 for int8."""
        return max(-self.quant_min, self.quant_max)

    @property
    def bytes(self) -> int:
        """Bytes that one value takes in memory."""
        return np.dtype(self.name).itemsize


INT_TYPES = {
    "int8": IntType("int8", -(2**7), 2**7 - 1),
    "uint8": IntType("uint8", 0, 2**8 - 1),
    "int16": IntType("int16", -(2**15), 2**15 - 1),
    "int32": IntType("int32", -(2**31), 2**31 - 1),
}
"""Every type that a value of an integer program can have, by name."""


def int_type(dtype: str) -> IntType:
    """Return the facts of `dtype`.

    Raises:
        QuantizationError: No such integer type.
    """
    if dtype not in INT_TYPES:
        raise QuantizationError(f"dtype is {dtype!r}; expected one of {', '.join(INT_TYPES)}.")
    return INT_TYPES[dtype]


def int_range(dtype: str) -> tuple[int, int]:
    """Return (quant_min, quant_max) of `dtype`, such as (-128, 127) for ``int8``."""
    facts = int_type(dtype)
    return facts.quant_min, facts.quant_max


@dataclass(frozen=True)
class QParams:
    """How a tensor is quantised: real = scale · q with q of type `dtype`.

    Attributes:
        scale: Real value of one integer step, finite and > 0.
        dtype: Name in :data:`INT_TYPES`.

    Raises:
        QuantizationError: The scale is not a positive number or the type is unknown.
    """

    scale: float
    dtype: str

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise QuantizationError(f"scale is {self.scale}; expected a finite number above 0.")
        int_type(self.dtype)

    @property
    def quant_min(self) -> int:
        """Smallest integer of the dtype."""
        return int_type(self.dtype).quant_min

    @property
    def quant_max(self) -> int:
        """Largest integer of the dtype."""
        return int_type(self.dtype).quant_max
