"""Proofs that two ways to round are one function.

``y(acc) = clamp((acc · M + 2^(s−1)) >> s)`` and the rules of engines are non-decreasing in acc. Two non-decreasing step
functions are equal on a range if and only if they step at the same places: for each level k, with t_k the smallest acc
whose result is at least k, the other one gives at least k at t_k and less at t_k − 1. That is 255 checks for 8 bits.
Additions of two 8-bit values are enumerated: 65,536 pairs. Legend: C channels, L levels.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hatlite.ops.integer.engine_rules import FLOAT32_EXACT, AddRule, Channels, ConvRule
from hatlite.ops.integer.fixed_point import half_of, requantize

__all__ = ["agrees", "agrees_on_pairs", "counterexample", "thresholds"]

Pair = tuple[int, int]


def thresholds(multiplier: ArrayLike, shift: ArrayLike, clamp: Pair) -> NDArray[np.int64]:
    """Return (C, L) int64: the smallest accumulators whose results reach each level quant_min + 1 … quant_max.

    Args:
        multiplier: (C,) M.
        shift: (C,) s.
        clamp: (quant_min, quant_max).
    """
    m, s = (np.asarray(values, dtype=np.int64).reshape(-1, 1) for values in (multiplier, shift))
    levels = np.arange(clamp[0] + 1, clamp[1] + 1, dtype=np.int64)
    return -((half_of(s) - (levels << s)) // m)


def agrees(
    rule: ConvRule,
    multiplier: ArrayLike,
    shift: ArrayLike,
    clamp: Pair,
    *,
    low: ArrayLike = -FLOAT32_EXACT,
    high: ArrayLike = FLOAT32_EXACT,
    bias: ArrayLike = 0,
) -> NDArray[np.bool_]:
    """Return (C,): whether `rule` gives the defined result for every accumulator in low…high.

    Args:
        rule: Of the engine.
        multiplier: (C,) M.
        shift: (C,) s.
        clamp: (quant_min, quant_max).
        low: Smallest accumulator, bias included, for all channels or (C,) one each; at least −2^24.
        high: Largest accumulator; at most 2^24.
        bias: Integer bias, for all channels or (C,) one each.
    """
    steps = thresholds(multiplier, shift, clamp)
    levels = np.arange(clamp[0] + 1, clamp[1] + 1)
    low, high, offset = (np.asarray(values, dtype=np.int64).reshape(-1, 1) for values in (low, high, bias))
    m = np.ldexp(np.asarray(multiplier, dtype=np.float64), -np.asarray(shift)).astype(np.float32).reshape(-1, 1)
    channels = Channels(m, offset, signed=clamp[0] < 0)
    reaches = (steps > high) | (rule.round(np.clip(steps, low, high), channels) >= levels)
    waits = (steps <= low) | (rule.round(np.clip(steps - 1, low, high), channels) < levels)
    return np.all(reaches & waits, axis=1)


def counterexample(
    rule: ConvRule, multiplier: int, shift: int, clamp: Pair, *, low: int, high: int, bias: int = 0
) -> tuple[int, int, int]:
    """Return an accumulator of a channel on which `rule` and the definition differ, the defined result and the rule's.

    Args:
        rule: Of the engine; :func:`agrees` has refused it.
        multiplier: M.
        shift: s.
        clamp: (quant_min, quant_max).
        low: Smallest accumulator.
        high: Largest accumulator.
        bias: Integer bias.
    """
    steps = thresholds(multiplier, shift, clamp)
    acc = np.unique(np.clip(np.concatenate([steps, steps - 1], axis=1), low, high))
    m = np.array([[np.ldexp(float(multiplier), -shift)]], dtype=np.float32)
    channels = Channels(m, np.array([[bias]], dtype=np.int64), signed=clamp[0] < 0)
    defined = requantize(acc, multiplier, shift, *clamp)
    got = np.clip(rule.round(acc[None], channels)[0], *clamp).astype(np.int64)
    first = int((defined != got).argmax())
    return int(acc[first]), int(defined[first]), int(got[first])


def agrees_on_pairs(
    rule: AddRule,
    multipliers: Pair,
    shift: int,
    ranges: tuple[Pair, Pair],
    clamp: Pair,
) -> bool:
    """Return whether `rule` gives the defined result for every pair of inputs; the ranges are inclusive."""
    a, b = np.meshgrid(*(np.arange(low, high + 1) for low, high in ranges), indexing="ij")
    defined = requantize(a * multipliers[0] + b * multipliers[1], 1, shift, *clamp)
    factors = [np.float32(np.ldexp(float(m), -shift)) for m in multipliers]
    return bool((np.clip(rule.round(clamp[0] < 0, a, b, *factors), *clamp) == defined).all())
