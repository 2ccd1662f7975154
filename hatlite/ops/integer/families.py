"""Arithmetic families: how scales become multipliers and shifts, for a march that names one of them.

Both families round by the one definition of :mod:`hatlite.ops.integer.fixed_point`. They differ in what the constants
of a layer may be, hence in how these are found and in how a float engine can round alike.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hatlite.march import Arithmetic
from hatlite.ops.integer.certificate import agrees
from hatlite.ops.integer.engine_rules import CONV_RULES, FLOAT32_EXACT, FLOAT32_FLOOR, ConvRule
from hatlite.ops.integer.fixed_point import (
    half_of,
    quantize_add_multipliers,
    quantize_add_shifts,
    quantize_multiplier,
    quantize_shift,
)
from hatlite.ops.integer.snap import Addition, AddSnap, MulSnap, Snap, snap, snap_add, snap_mul

__all__ = ["Family", "MultiplierShift", "ShiftOnly", "family_of"]

AVERAGE_BITS = 64
"""How much finer than its input the sum of an average is at least, on marches that cannot divide."""

Pair = tuple[int, int]
Ints = NDArray[np.int64]


class Family(ABC):
    """Finds the integer constants of layers.

    Args:
        arithmetic: Facts of the march.

    Attributes:
        conv_rules: How float engines may round an accumulator, the most wanted first: what a search asks for.
        half_even: Whether the first of them takes exact halves to the even neighbour; else up.
        largest_gain: No result that is free to choose has more steps than this per step of its input.
        keeps_steps: Whether no such result has finer steps than its accumulator, which holds nothing between them.
        finest_multiplier: No weight scale of an 8-bit result is finer than this times Sy / Sx.
    """

    conv_rules: tuple[ConvRule, ...]
    half_even: bool
    largest_gain: float = math.inf
    keeps_steps: bool = False
    finest_multiplier: float = 0.0

    def __init__(self, arithmetic: Arithmetic) -> None:
        self.arithmetic = arithmetic

    @abstractmethod
    def average_weight(self, taps: int) -> tuple[int, float]:
        """Return the integer weight of an average over `taps` pixels, and what one step of it stands for."""

    @abstractmethod
    def quantize_multiplier(self, real_multiplier: ArrayLike) -> tuple[Ints, Ints]:
        """Return M and s near the positive ratios Sx · Sw / Sy, each shaped as these."""

    @abstractmethod
    def quantize_add_multipliers(self, ratio_a: float, ratio_b: float) -> tuple[int, int, int]:
        """Return (Ma, Mb, s) near Sa / Sy and Sb / Sy."""

    @abstractmethod
    def snap(
        self,
        weight_scale: ArrayLike,
        scale_in: float,
        scale_out: float,
        clamp: Pair,
        rules: Sequence[ConvRule],
        *,
        bias: ArrayLike = 0.0,
        reach: ArrayLike = np.inf,
    ) -> Snap:
        """Return constants near `weight_scale`; arguments as :func:`hatlite.ops.integer.snap.snap`."""

    @abstractmethod
    def snap_add(self, scales: tuple[float, float], scale_out: float, addition: Addition, candidates: int) -> AddSnap:
        """Return multipliers of an addition; arguments as :func:`hatlite.ops.integer.snap.snap_add`."""

    @abstractmethod
    def snap_mul(
        self,
        scales: tuple[float, float],
        scale_out: float,
        clamp: Pair,
        rules: Sequence[ConvRule],
        candidates: int,
    ) -> MulSnap:
        """Return the multiplier of a product; arguments as :func:`hatlite.ops.integer.snap.snap_mul`."""


class MultiplierShift(Family):
    """Odd multipliers, moved to where float engines that round halves to even are proven."""

    conv_rules = CONV_RULES
    half_even = True
    largest_gain = 2.0**12  # finer scales find no multiplier, where calibration saw next to nothing: a dead ReLU
    finest_multiplier = 2.0**-12  # finer steps of a weight are lost in rounding, and float32 could not be proven

    def average_weight(self, taps: int) -> tuple[int, float]:
        return 1, 1 / taps

    def quantize_multiplier(self, real_multiplier: ArrayLike) -> tuple[Ints, Ints]:
        return quantize_multiplier(real_multiplier, self.arithmetic.multiplier_bits)

    def quantize_add_multipliers(self, ratio_a: float, ratio_b: float) -> tuple[int, int, int]:
        return quantize_add_multipliers(ratio_a, ratio_b, self.arithmetic.add_multiplier_bits)

    snap = staticmethod(snap)
    snap_add = staticmethod(snap_add)
    snap_mul = staticmethod(snap_mul)


class ShiftOnly(Family):
    """Powers of two: nothing is searched, because nothing can move."""

    conv_rules = (FLOAT32_FLOOR,)
    half_even = False
    keeps_steps = True

    def average_weight(self, taps: int) -> tuple[int, float]:
        """Return 64…127: six bits behind the leading one of 1 / taps."""
        exponent = (taps - 1).bit_length()  # 2^exponent is the next power of two from taps upwards
        weight = (2 * AVERAGE_BITS * 2**exponent + taps) // (2 * taps)
        return (
            (weight, 2.0**-exponent / AVERAGE_BITS)
            if weight < 2 * AVERAGE_BITS
            else (AVERAGE_BITS, 2.0 ** (1 - exponent) / AVERAGE_BITS)
        )

    def quantize_multiplier(self, real_multiplier: ArrayLike) -> tuple[Ints, Ints]:
        return quantize_shift(real_multiplier, self.arithmetic.multiplier_bits - 1, self.arithmetic.max_shift)

    def quantize_add_multipliers(self, ratio_a: float, ratio_b: float) -> tuple[int, int, int]:
        return quantize_add_shifts(ratio_a, ratio_b, self.arithmetic.add_multiplier_bits, self.arithmetic.max_shift)

    def snap(
        self,
        weight_scale: ArrayLike,
        scale_in: float,
        scale_out: float,
        clamp: Pair,
        rules: Sequence[ConvRule],
        *,
        bias: ArrayLike = 0.0,
        reach: ArrayLike = np.inf,
    ) -> Snap:
        ratio = np.asarray(weight_scale, dtype=np.float64).reshape(-1) * scale_in / scale_out
        multiplier, shift = self.quantize_multiplier(ratio)
        scale = np.ldexp(multiplier.astype(np.float64), -shift) * scale_out / scale_in
        return Snap(multiplier, shift, scale, _rank(rules, multiplier, shift, clamp))

    def snap_add(self, scales: tuple[float, float], scale_out: float, addition: Addition, candidates: int) -> AddSnap:
        first, second, shift = self.quantize_add_multipliers(*(scale / scale_out for scale in scales))
        peaks = (max(map(abs, ends)) for ends in addition.ranges)
        exact = sum(m * peak for m, peak in zip((first, second), peaks, strict=True)) + half_of(shift) < FLOAT32_EXACT
        return AddSnap(scale_out, (first, second), shift, 2 * exact)  # with and without a fused multiply-add

    def snap_mul(
        self,
        scales: tuple[float, float],
        scale_out: float,
        clamp: Pair,
        rules: Sequence[ConvRule],
        candidates: int,
    ) -> MulSnap:
        multiplier, shift = self.quantize_multiplier(np.array([scales[0] * scales[1] / scale_out]))
        rank = _rank(rules, multiplier, shift, clamp)
        return MulSnap(scale_out, int(multiplier[0]), int(shift[0]), int(rank[0]))


def _rank(rules: Sequence[ConvRule], multiplier: Ints, shift: Ints, clamp: Pair) -> Ints:
    """Return (C,): how many rules agree on all accumulators to 2^24, from the first on; equal channels count once."""
    pairs, channels = np.unique(np.stack([multiplier, shift]), axis=1, return_inverse=True)
    alive = np.ones(pairs.shape[1], dtype=bool)
    rank = np.zeros(pairs.shape[1], dtype=np.int64)
    for rule in rules:
        alive &= agrees(rule, pairs[0], pairs[1], clamp)
        rank += alive
    return rank[channels.reshape(-1)]


FAMILIES: dict[str, type[Family]] = {"multiplier_shift": MultiplierShift, "shift_only": ShiftOnly}


def family_of(arithmetic: Arithmetic) -> Family:
    """Return what finds the constants of `arithmetic`."""
    return FAMILIES[arithmetic.family](arithmetic)
