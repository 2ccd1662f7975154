"""How engines that compute in float32 round: each rule written down as a function of the integer accumulator.

An engine may run a layer only where its rule and the definition (:mod:`hatlite.ops.integer.fixed_point`) are the same
function; :mod:`hatlite.ops.integer.certificate` proves that. All rules are non-decreasing in the accumulator, because
every IEEE operation in them is. Legend: C channels, L accumulators of each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ADD_RULES",
    "BYTES",
    "CONV_RULES",
    "FLOAT32_EXACT",
    "FLOAT32_FLOOR",
    "ZERO_POINT",
    "AddRule",
    "Channels",
    "ConvRule",
    "zero_point",
]

FLOAT32_EXACT = 2**24
"""Integers up to here are exact in float32, and so are their sums in whatever order."""

Ints = NDArray[Any]

ZERO_POINT = 128
"""Where engines that only know unsigned activations put the 0 of a signed one."""

BYTES = ("int8", "uint8")
"""Types that such engines carry as uint8."""


def zero_point(dtype: str) -> int:
    """Return what stands for the integer 0 of `dtype` where a value is carried as uint8; 0 for wider types."""
    return ZERO_POINT if dtype == "int8" else 0


@dataclass(frozen=True, eq=False)
class Channels:
    """What a rule knows of its channels.

    Attributes:
        m: (C, 1) float32 M · 2^−s.
        bias: (C, 1) int64, the part of the accumulator that is the bias.
        signed: Whether the result has negative levels.
    """

    m: NDArray[np.float32]
    bias: NDArray[np.int64]
    signed: bool


@dataclass(frozen=True)
class ConvRule:
    """Rounding of an accumulator.

    Attributes:
        name: For certificates.
        round: (acc (C, L) int64, bias included, channels) → (C, L) float32 before the clamp, integer-valued.
        needs_reach: Whether it is proven for the accumulators that the weights can reach instead of all to 2^24.
        bytes_only: Whether its engine reads and gives 8-bit values only, and clamps at the ends of their types.
    """

    name: str
    round: Callable[[NDArray[np.int64], Channels], NDArray[np.float32]]
    needs_reach: bool = False
    bytes_only: bool = False


@dataclass(frozen=True)
class AddRule:
    """Rounding of a sum of two activations.

    Attributes:
        name: For certificates.
        round: (whether the result is signed, a and b int64 of one shape, their two factors as float32) → float32 before
            the clamp, integer-valued.
        bytes_only: As in :class:`ConvRule`.
    """

    name: str
    round: Callable[..., NDArray[np.float32]]
    bytes_only: bool = False


def _float32(acc: NDArray[np.int64], channels: Channels) -> NDArray[np.float32]:
    return np.rint(acc.astype(np.float32) * channels.m)


def _float32_floor(acc: NDArray[np.int64], channels: Channels) -> NDArray[np.float32]:
    return np.floor(acc.astype(np.float32) * channels.m + np.float32(0.5))


def _onednn(acc: NDArray[np.int64], channels: Channels) -> NDArray[np.float32]:
    zero_point = np.float32(ZERO_POINT if channels.signed else 0)
    bias = (channels.bias * channels.m.astype(np.float64)).astype(np.float32)
    scaled = (acc - channels.bias).astype(np.float32) * channels.m
    return np.rint(scaled + bias + zero_point) - zero_point


CONV_RULES = (ConvRule("float32", _float32), ConvRule("onednn", _onednn, needs_reach=True, bytes_only=True))
"""``float32``: ``rint(fp32(acc) · m)``, a float convolution and ONNX Runtime's QLinearConv, whose m is
fp32(fp32(Sx · Sw) / Sy). ``onednn``: ``rint(fp32(fp32(fp32(acc − b) · m) + fp32(b · m)) + z) − z``, its fused int8
convolution, which adds the bias b after scaling and the zero point z (128 for signed results, else 0) before rounding.
The most wanted first: a search takes the multiplier that satisfies the longest run of them."""

FLOAT32_FLOOR = ConvRule("float32_floor", _float32_floor)
"""``floor(fp32(acc) · m + ½)``: the definition in float32, where m is a power of two other than 2^−25 and |acc| at most
2^24. Scaling loses nothing then, and a sum that float32 must round lies beyond every clamp of up to 16 bits."""


def _separate(a: Ints, b: Ints, ma: np.float32, mb: np.float32) -> NDArray[np.float32]:
    return a.astype(np.float32) * ma + b.astype(np.float32) * mb


def _fused(a: Ints, b: Ints, ma: np.float32, mb: np.float32) -> NDArray[np.float32]:
    first = (a.astype(np.float32) * ma).astype(np.float64)
    return (first + b.astype(np.float64) * np.float64(mb)).astype(np.float32)


def _offset(total: NDArray[np.float32], signed: bool) -> NDArray[np.float32]:
    zero_point = np.float32(ZERO_POINT if signed else 0)
    return np.rint(total + zero_point) - zero_point


ADD_RULES = (
    AddRule("float32", lambda signed, *pair: np.rint(_separate(*pair))),
    AddRule("float32_fused", lambda signed, *pair: np.rint(_fused(*pair))),
    AddRule("onednn", lambda signed, *pair: _offset(_separate(*pair), signed), bytes_only=True),
    AddRule("onednn_fused", lambda signed, *pair: _offset(_fused(*pair), signed), bytes_only=True),
)
"""A float32 addition with its two products rounded one by one, and with a fused multiply-add: compilers and vector
units choose between the two element by element, so an engine needs both. oneDNN adds the zero point 128 of signed
results before it rounds. The float64 sum of the fused form is exact: the first term has 24 bits, the second at most 32,
and their exponents lie close together."""
