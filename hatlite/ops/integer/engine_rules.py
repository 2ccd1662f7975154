"""How engines that compute in float32 round: each rule written down as a function of the integer accumulator.

An engine may run a layer only where its rule and the definition (:mod:`hatlite.ops.integer.fixed_point`) are the same
function; :mod:`hatlite.ops.integer.certificate` proves that. All rules are non-decreasing in the accumulator, because
every IEEE operation in them is. Legend: C channels, L accumulators of each; ``m`` is M · 2^−s, exact in float32.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ADD_RULES", "CONV_RULES", "FLOAT32_EXACT", "AddRule", "ConvRule"]

FLOAT32_EXACT = 2**24
"""Integers up to here are exact in float32, and so are their sums in whatever order."""

ZERO_POINT = 128
"""Where engines that only know unsigned activations put the 0 of a signed one."""


@dataclass(frozen=True)
class ConvRule:
    """Rounding of an accumulator.

    Attributes:
        name: For certificates.
        round: (acc (C, L) int64, m (C, 1) float32) → (C, L) float32 before the clamp, integer-valued.
        signed_only: Whether it only differs from the rule before it where the result is signed.
    """

    name: str
    round: Callable[[NDArray[np.int64], NDArray[np.float32]], NDArray[np.float32]]
    signed_only: bool = False


@dataclass(frozen=True)
class AddRule:
    """Rounding of a sum of two activations.

    Attributes:
        name: For certificates.
        round: (a, b int64 of one shape, their two factors as float32) → float32 before the clamp, integer-valued.
    """

    name: str
    round: Callable[[NDArray[Any], NDArray[Any], np.float32, np.float32], NDArray[np.float32]]


def _float32(acc: NDArray[np.int64], m: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.rint(acc.astype(np.float32) * m)


def _offset(acc: NDArray[np.int64], m: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.rint(acc.astype(np.float32) * m + np.float32(ZERO_POINT)) - np.float32(ZERO_POINT)


CONV_RULES = (
    ConvRule("float32", _float32),
    ConvRule("float32_offset", _offset, signed_only=True),
)
"""``float32``: ``rint(fp32(acc) · m)``, a float convolution and ONNX Runtime's QLinearConv, whose m is
fp32(fp32(Sx · Sw) / Sy). ``float32_offset``: the zero point 128 is added before rounding, as oneDNN does. The most
wanted first: a search takes the multiplier that satisfies the longest run of them."""


def _separate(a: NDArray[Any], b: NDArray[Any], ma: np.float32, mb: np.float32) -> NDArray[np.float32]:
    return np.rint(a.astype(np.float32) * ma + b.astype(np.float32) * mb)


def _fused(a: NDArray[Any], b: NDArray[Any], ma: np.float32, mb: np.float32) -> NDArray[np.float32]:
    first = (a.astype(np.float32) * ma).astype(np.float64)
    return np.rint((first + b.astype(np.float64) * np.float64(mb)).astype(np.float32))


ADD_RULES = (AddRule("float32", _separate), AddRule("float32_fused", _fused))
"""A float32 addition with its two products rounded one by one, and with a fused multiply-add: compilers and vector
units choose between the two element by element, so an engine needs both. The float64 sum in the second is exact: the
first term has 24 bits, the second at most 32, and their exponents lie close together."""
