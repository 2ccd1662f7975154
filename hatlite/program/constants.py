"""The constants inside operators: weights, requantisation and where an operator came from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.errors import ProgramError

__all__ = ["ENCODINGS", "GRANULARITIES", "UNKNOWN_SOURCE", "Requantize", "Source", "Weight", "constant"]

ENCODINGS = ("dense", "codebook")
GRANULARITIES = ("per_axis", "per_kernel")
KINDS = {("dense", "per_axis"): None, ("codebook", "per_kernel"): "kernel3"}
"""Which of both go together, and the kind of weights that they make; None is that of the values' type."""
ROUNDINGS = ("half_up",)


def constant(values: Any, dtype: str, what: str) -> NDArray[Any]:
    """Return `values` as a read-only array of `dtype`, refusing any value that this would change.

    Raises:
        ProgramError: A value is not a whole number of `dtype`'s range; `what` names the constant.
    """
    given = np.asarray(values)
    with np.errstate(invalid="ignore"):  # NaN and infinity show in the comparison below
        array = np.array(given, dtype=dtype, order="C") if given.dtype.kind in "iuf" else None
    if array is None or not np.array_equal(array, given):
        raise ProgramError(f"{what} holds values that {dtype} cannot represent (given as {given.dtype}).")
    array.flags.writeable = False
    return array


@dataclass(frozen=True)
class Source:
    """Where an operator comes from.

    Attributes:
        module: Path of the module in the network, such as ``backbone.blocks.3``.
        line: Source line of the call, such as ``fcos.py:31``.
    """

    module: str = ""
    line: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.module, self.line))) or "source unknown"


UNKNOWN_SOURCE = Source()


@dataclass(frozen=True, eq=False)
class Weight:
    """Weights of a convolution or linear operator.

    Attributes:
        values: (O, kh, kw, I / groups) int16 where they were given as that, else int8.
        scale: (O,) float64, real value of one step per output channel; for reports and export, no kernel reads it.
        encoding: How the hardware holds the values, one of :data:`ENCODINGS`: as they are, ``dense``, or as codes of a
            step, ``codebook``. Here they are dense in both cases.
        granularity: What shares one step of the hardware, one of :data:`GRANULARITIES`: an output channel, or a kernel
            of it.

    Raises:
        ProgramError: A shape or value is wrong, or the encoding is one that this version does not know.
    """

    values: NDArray[np.int8] | NDArray[np.int16]
    scale: NDArray[np.float64] | None = None
    encoding: str = "dense"
    granularity: str = "per_axis"

    def __post_init__(self) -> None:
        for name, known in (("encoding", ENCODINGS), ("granularity", GRANULARITIES)):
            if getattr(self, name) not in known:
                raise ProgramError(f"weight {name} is {getattr(self, name)!r}; this version knows {', '.join(known)}.")
        if (self.encoding, self.granularity) not in KINDS:
            raise ProgramError(
                f"weight is {self.encoding} {self.granularity}; expected {' or '.join(map(' '.join, KINDS))}."
            )
        wide = getattr(self.values, "dtype", None) == np.int16
        values = constant(self.values, "int16" if wide else "int8", "weight")
        if values.ndim != 4 or 0 in values.shape:
            raise ProgramError(f"weight has shape {values.shape}; expected (O, kh, kw, I / groups).")
        object.__setattr__(self, "values", values)
        if self.scale is not None:
            object.__setattr__(self, "scale", _scales(self.scale, len(values)))

    @property
    def dtype(self) -> str:
        """Type of the values, ``int8`` or ``int16``."""
        return self.values.dtype.name

    @property
    def kind(self) -> str:
        """What the weights are, a key of :data:`hatlite.march.WEIGHT_KINDS`."""
        return KINDS[self.encoding, self.granularity] or self.dtype


def _scales(scale: Any, channels: int) -> NDArray[np.float64]:
    scales = constant(scale, "float64", "weight scale")
    if scales.shape != (channels,) or not (np.isfinite(scales) & (scales > 0)).all():
        raise ProgramError(f"weight scale has shape {scales.shape}; expected {channels} finite numbers above 0.")
    return scales


@dataclass(frozen=True, eq=False)
class Requantize:
    """How an accumulator becomes an activation: ``clamp((acc · multiplier + 2^(shift−1)) >> shift)``.

    A shift of 0 adds nothing.

    Attributes:
        multiplier: (1,) or (C,) int64: one for all output channels or one each.
        shift: The same shape, int64.
        quant_min: Lower clamp; 0 applies ReLU.
        quant_max: Upper clamp.
        rounding: What happens to an exact half.
        bias_bits: Width of the bias that is already in the accumulator.

    Raises:
        ProgramError: The arrays do not fit each other, the clamp is empty or the rounding unknown.
    """

    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    quant_min: int
    quant_max: int
    rounding: str = "half_up"
    bias_bits: int = 32

    def __post_init__(self) -> None:
        if self.rounding not in ROUNDINGS:
            raise ProgramError(f"rounding is {self.rounding!r}; this version knows {', '.join(ROUNDINGS)}.")
        for name in ("multiplier", "shift"):
            object.__setattr__(self, name, constant(np.atleast_1d(getattr(self, name)), "int64", name))
        if self.multiplier.ndim != 1 or self.multiplier.shape != self.shift.shape or not self.multiplier.size:
            raise ProgramError(f"multiplier {self.multiplier.shape} and shift {self.shift.shape} differ in length.")
        for name in ("quant_min", "quant_max", "bias_bits"):
            object.__setattr__(self, name, int(getattr(self, name)))
        if self.quant_min >= self.quant_max:
            raise ProgramError(f"clamp {self.quant_min}…{self.quant_max} is empty.")
