"""The search for scales at which engines that round in float32 give the defined results.

See :mod:`hatlite.ops.integer.certificate` for the proof that each candidate must pass. Legend: C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hatlite.ops.integer.certificate import agrees, agrees_on_pairs
from hatlite.ops.integer.engine_rules import ADD_RULES, CONV_RULES, FLOAT32_EXACT, AddRule, ConvRule
from hatlite.ops.integer.fixed_point import (
    ADD_MULTIPLIER_BITS,
    MAX_SHIFT,
    MULTIPLIER_BITS,
    quantize_add_multipliers,
    quantize_multiplier,
)

__all__ = [
    "ADD_CANDIDATES",
    "AddSnap",
    "Addition",
    "MulSnap",
    "Snap",
    "nearest_weight_scale",
    "snap",
    "snap_add",
    "snap_mul",
    "tied_scale",
]

Pair = tuple[int, int]

ULPS = np.arange(-4, 5)
OFFSETS = (*(sign * step for step in range(0, 98, 2) for sign in (1, -1)), *range(98, 1026, 2))
"""What is added to the nearest M, in this order; 0 comes twice, which costs nothing."""
SHARED = 96
"""How far a multiplier may move for the sake of further engines."""
MARGIN = 1.02
"""Room for weights that rounding enlarges."""
ADD_CANDIDATES, ADD_TRIES = 2**17, 24


@dataclass(frozen=True)
class Snap:
    """Multipliers that engines can share, one per channel.

    Attributes:
        multiplier: (C,) int64 M, odd, 15 bits.
        shift: (C,) int64 s.
        weight_scale: (C,) float64, each a float32 value with fp32(fp32(Sx · Sw) / Sy) = M · 2^−s where `rank` ≥ 0.
        rank: (C,) int64: how many of the wanted rules agree, from the first on; −1 where no weight scale reproduces the
            multiplier, so that not even the export can carry it.
    """

    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    weight_scale: NDArray[np.float64]
    rank: NDArray[np.int64]


def snap(
    weight_scale: ArrayLike,
    scale_in: float,
    scale_out: float,
    clamp: Pair,
    rules: Sequence[ConvRule],
    *,
    bias: ArrayLike = 0.0,
    reach: ArrayLike = np.inf,
) -> Snap:
    """Return the multipliers nearest to the ideal ``Sx · Sw / Sy`` that satisfy `rules`.

    Tried are the nearest odd M, then M ± 2, ± 4, … ± 96; a channel keeps the first that satisfies all rules, else the
    first of those that satisfy most. One that has not satisfied the first rule by then tries larger ones, which cost
    resolution but clip nothing, up to M + 1024.

    Args:
        weight_scale: (C,) ideal Sw, positive.
        scale_in: Sx, a float32 value.
        scale_out: Sy, a float32 value.
        clamp: (quant_min, quant_max).
        rules: The most wanted first; none asks only for a scale that reproduces M.
        bias: (C,) real bias, for rules that treat it apart.
        reach: (C,) largest real magnitude of a sum of products, for rules that are proven on what weights can reach.
    """
    ideal = np.asarray(weight_scale, dtype=np.float64).reshape(-1)
    real = np.stack([np.broadcast_to(np.asarray(value, dtype=np.float64), ideal.shape) for value in (bias, reach)])
    first, start = quantize_multiplier(scale_in * ideal / scale_out)
    scale, found = nearest_weight_scale(first, start, scale_in, scale_out)
    best = Snap(first.copy(), start.copy(), scale, np.full(len(ideal), -1))
    for offset in OFFSETS:
        todo = np.flatnonzero(best.rank < (len(rules) if offset <= SHARED else min(len(rules), 1)))
        if not todo.size:
            break
        multiplier, shift = _within_binade(first[todo] + offset, start[todo])
        scale, found = nearest_weight_scale(multiplier, shift, scale_in, scale_out)
        units = real[:, todo] / (scale_in * scale)
        rank = np.where(found, _rank(rules, multiplier, shift, clamp, units), -1)
        better = rank > best.rank[todo]
        for held, new in zip(
            (best.multiplier, best.shift, best.weight_scale, best.rank), (multiplier, shift, scale, rank), strict=True
        ):
            held[todo[better]] = new[better]
    return best


def _within_binade(multiplier: NDArray, shift: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return odd M with 2^14 < M < 2^15 and s for multipliers that left this range by less than its width."""
    low, high = 2 ** (MULTIPLIER_BITS - 1), 2**MULTIPLIER_BITS
    above, below = (multiplier > high) & (shift > 1), (multiplier < low) & (shift < MAX_SHIFT)
    moved = np.where(above, multiplier // 2 | 1, np.where(below, 2 * multiplier - 1, multiplier))
    return np.clip(moved, low + 1, high - 1), shift - above + below


def _rank(
    rules: Sequence[ConvRule], multiplier: NDArray, shift: NDArray, clamp: Pair, units: NDArray
) -> NDArray[np.int64]:
    """Return (C,): how many rules agree from the first on; `units` (2, C) holds bias and reach in accumulator units."""
    rank = np.zeros(len(multiplier), dtype=np.int64)
    bias = np.rint(units[0]).astype(np.int64)
    reach = np.minimum(units[1] * MARGIN + np.abs(bias), FLOAT32_EXACT).astype(np.int64)
    for index, rule in enumerate(rules):
        alive = np.flatnonzero(rank == index)
        bound = reach[alive] if rule.needs_reach else FLOAT32_EXACT
        agreed = agrees(rule, multiplier[alive], shift[alive], clamp, low=-bound, high=bound, bias=bias[alive])
        rank[alive] += agreed
    return rank


def nearest_weight_scale(
    multiplier: NDArray, shift: NDArray, scale_in: float, scale_out: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return (C,) float32 values Sw near M · 2^−s · Sy / Sx, and whether fp32(fp32(Sx · Sw) / Sy) is M · 2^−s."""
    wanted = np.ldexp(multiplier.astype(np.float64), -shift)
    middle = (wanted * scale_out / scale_in).astype(np.float32)
    near = (middle.view(np.int32)[:, None] + ULPS.astype(np.int32)).view(np.float32)
    made = (near * np.float32(scale_in)) / np.float32(scale_out)
    hit = made == wanted.astype(np.float32)[:, None]
    hit &= near > 0
    chosen = np.where(hit, np.abs(ULPS), len(ULPS)).argmin(axis=1)
    rows = np.arange(len(middle))
    found = hit[rows, chosen]
    return np.where(found, near[rows, chosen], middle).astype(np.float64), found


@dataclass(frozen=True)
class Addition:
    """What the certificate of an addition is about.

    Attributes:
        ranges: Smallest and largest a, smallest and largest b.
        clamp: (quant_min, quant_max) of the result.
        rules: The most wanted first; empty asks only for ratios that the multipliers hold.
        signs: Of a and of b in the sum; (1, −1) is a subtraction.
    """

    ranges: tuple[Pair, Pair]
    clamp: Pair
    rules: Sequence[AddRule] = ADD_RULES
    signs: Pair = (1, 1)


@dataclass(frozen=True)
class AddSnap:
    """Scale and multipliers of an addition.

    Attributes:
        scale: Sy, a float32 value.
        multipliers: (Ma, Mb), without signs.
        shift: s.
        rank: How many rules agree, from the first on; −1 where fp32(Sa / Sy) or fp32(Sb / Sy) is not M · 2^−s.
    """

    scale: float
    multipliers: Pair
    shift: int
    rank: int


def snap_add(
    scales: tuple[float, float], scale_out: float, addition: Addition, candidates: int = ADD_CANDIDATES
) -> AddSnap:
    """Return the scale nearest to `scale_out` for which all pairs of inputs satisfy the rules.

    A candidate is a float32 neighbour of `scale_out` whose two ratios, as float32, have no more bits than the
    multipliers; the first few are enumerated completely.

    Args:
        scales: (Sa, Sb), float32 values.
        scale_out: Ideal Sy.
        addition: Ranges, clamp and rules.
        candidates: Neighbours looked at; 1 keeps the scale as it is.
    """
    best: AddSnap | None = None
    for scale in _held(scales, _neighbours(scale_out, candidates))[:ADD_TRIES]:
        found = _prove_addition(scales, scale, addition)
        if best is None or found.rank > best.rank:
            best = found
        if found.rank == len(addition.rules):
            break
    if best is not None:
        return best
    first, second, shift = quantize_add_multipliers(scales[0] / scale_out, scales[1] / scale_out)
    return AddSnap(float(np.float32(scale_out)), (first, second), shift, -1)


def tied_scale(
    additions: Sequence[tuple[Addition, tuple[float | None, float | None]]],
    scale_out: float,
    candidates: int = ADD_CANDIDATES,
) -> float:
    """Return the scale nearest to `scale_out` that several additions can have as theirs, each with its proof.

    Where the candidates cannot serve all of them, the last ones are left without a proof.

    Args:
        additions: Each with the scales (Sa, Sb) of its inputs; None stands for the scale that is looked for.
        scale_out: Ideal scale of all results.
        candidates: Neighbours looked at.
    """
    near = _neighbours(scale_out, candidates)
    served = []
    for addition, scales in additions:
        held = _held(scales, near)
        if held.size:
            near = held
            served.append((addition, scales))
    for scale in near[:ADD_TRIES]:
        if all(_prove_addition(scales, scale, item).rank == len(item.rules) for item, scales in served):
            return float(scale)
    return float(near[0])


def _prove_addition(scales: tuple[float | None, float | None], scale: np.float32, addition: Addition) -> AddSnap:
    ratio_a, ratio_b = (float(np.float32(scale if value is None else value) / scale) for value in scales)
    first, second, shift = quantize_add_multipliers(ratio_a, ratio_b)
    signed = (first * addition.signs[0], second * addition.signs[1])
    rank = 0
    for rule in addition.rules:
        if not agrees_on_pairs(rule, signed, shift, addition.ranges, addition.clamp):
            break
        rank += 1
    return AddSnap(float(scale), (first, second), shift, rank)


@dataclass(frozen=True)
class MulSnap:
    """Scale and multiplier of a product.

    Attributes:
        scale: Sy, a float32 value.
        multiplier: M, odd, 15 bits.
        shift: s.
        rank: How many rules agree, from the first on; −1 where fp32(fp32(Sa · Sb) / Sy) is not M · 2^−s.
    """

    scale: float
    multiplier: int
    shift: int
    rank: int


def snap_mul(
    scales: tuple[float, float],
    scale_out: float,
    clamp: Pair,
    rules: Sequence[ConvRule] = CONV_RULES,
    candidates: int = ADD_CANDIDATES,
) -> MulSnap:
    """Return the scale nearest to `scale_out` for which a product, as accumulator, satisfies `rules`.

    A candidate is a float32 neighbour of `scale_out` for which fp32(fp32(Sa · Sb) / Sy) is an odd number of 15 bits.
    The proof covers every accumulator to 2^24, hence all 65,536 products of two 8-bit values.

    Args:
        scales: (Sa, Sb), float32 values.
        scale_out: Ideal Sy.
        clamp: (quant_min, quant_max).
        rules: The most wanted first.
        candidates: Neighbours looked at; 1 keeps the scale as it is.
    """
    near = _neighbours(scale_out, candidates)
    ratios = (np.float32(scales[0]) * np.float32(scales[1]) / near).astype(np.float64)
    multiplier, shift = quantize_multiplier(ratios)
    held = np.flatnonzero(np.ldexp(multiplier.astype(np.float64), -shift) == ratios)[:ADD_TRIES]
    if not held.size:
        return MulSnap(float(near[0]), int(multiplier[0]), int(shift[0]), -1)
    alone = np.array([[0.0], [np.inf]]).repeat(held.size, axis=1)  # no bias, any accumulator
    rank = _rank(rules, multiplier[held], shift[held], clamp, alone)
    best = held[rank.argmax()]
    return MulSnap(float(near[best]), int(multiplier[best]), int(shift[best]), int(rank.max()))


def _neighbours(scale: float, count: int) -> NDArray[np.float32]:
    """Return `count` float32 values around `scale`, nearest first."""
    steps = np.arange(count, dtype=np.int32)
    ulps = (steps + 1) // 2 * np.where(steps % 2, 1, -1).astype(np.int32)
    near = (np.float32(scale).view(np.int32) + ulps).view(np.float32)
    return near[near > 0]


def _held(scales: tuple[float | None, float | None], near: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return those of the candidates `near` whose float32 ratios the 20-bit multipliers hold exactly."""
    ratios = np.stack([(near if value is None else np.float32(value)) / near for value in scales]).astype(np.float64)
    shift = ADD_MULTIPLIER_BITS - np.frexp(ratios.max(axis=0))[1]
    scaled = np.ldexp(ratios, shift)
    return near[(scaled == np.floor(scaled)).all(axis=0) & (shift >= 1)]
