"""What is proven of one operator: which ways to compute it give the defined integers for every possible input.

A *rule* is a way to round (:mod:`hatlite.ops.integer.engine_rules`); ``int64`` is the definition and ``float64`` its
floating-point twin, ``floor(acc · M · 2^−s + ½)``, which is exact below 2^53; where an operator only shifts, float32
computes the same below 2^24: ``float32_floor``. ``any`` stands for all of them where an operator only selects among
integers. Legend: C output channels.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.ops.integer.certificate import agrees, agrees_on_pairs, counterexample
from hatlite.ops.integer.engine_rules import (
    ADD_RULES,
    BYTES,
    CONV_RULES,
    FLOAT32_EXACT,
    FLOAT32_FLOOR,
    AddRule,
    ConvRule,
)
from hatlite.ops.integer.fixed_point import half_of
from hatlite.ops.integer.reference import BILINEAR_KERNEL
from hatlite.program.bounds import accumulator_peak, accumulator_range, add_peak
from hatlite.program.constants import Requantize
from hatlite.program.ops import (
    Add,
    Concat,
    Conv2d,
    DepthToSpace,
    Linear,
    Lut,
    MaxPool2d,
    Mul,
    Operator,
    Pad,
    Rescale,
    ResizeBilinear2x,
    ResizeNearest,
    Slice,
    Sub,
)
from hatlite.program.program import TensorType
from hatlite.qparams import int_range

__all__ = ["Accumulator", "Proof", "accumulator_of", "is_proven", "proofs_of"]

FLOAT64_EXACT = 2**53
Types = Sequence[TensorType]
Bools = NDArray[np.bool_]
Refusal = tuple[str, str]

TIES = (
    "results of 16 bits can be ties, which it rounds to even",
    "give the layer a result of 8 bits, or leave it to int64 and float64",
)
WIDE = ("it carries 8-bit values only", "give the layer 8-bit inputs and weights, or leave it to the other engines")
NARROW = (
    "it saturates at the ends of its type, and the clamp lies inside them",
    "give what a ReLU bounds an unsigned type, or leave it to the other engines",
)
STEPS = (
    "it steps elsewhere than the definition",
    "only speed is lost; scales taken anew, as at the end of each epoch of qat, may find a better multiplier",
)
LARGE = ("the sum can leave the integers that it holds exactly", "give the layer fewer inputs per channel")


@dataclass(frozen=True, eq=False)
class Accumulator:
    """What the sums of an operator can be, for any input; (C,) int64 each.

    Attributes:
        low: Smallest final sum, bias included.
        high: Largest one.
        peak: Bound of every partial sum, in whatever order it is taken.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    peak: NDArray[np.int64]

    @property
    def worst(self) -> int:
        """Largest absolute value that some input reaches."""
        return int(max(-self.low.min(), self.high.max()))

    @property
    def bits(self) -> int:
        """Width of a signed register that holds every partial sum."""
        return int(self.peak.max()).bit_length() + 1

    @property
    def float32_exact(self) -> bool:
        """Whether float32 holds every partial sum exactly."""
        return bool(self.peak.max() < FLOAT32_EXACT)


@dataclass(frozen=True, eq=False)
class Proof:
    """Whether one rule gives the defined integers for every possible input.

    Attributes:
        rule: Its name.
        method: How that was shown: ``definition``, ``exact``, ``thresholds``, ``65,536 pairs``, ``256 entries`` or
            ``selection``.
        proven: (C,), channel by channel.
        why: Of the channels that are refused; empty where none is.
        remedy: What would help them.
    """

    rule: str
    method: str
    proven: Bools
    why: str = ""
    remedy: str = ""


def accumulator_of(op: Operator, inputs: Types) -> Accumulator | None:
    """Return the accumulator of `op`, which reads values of the types `inputs`; None for what only selects."""
    rows = RANGES.get(type(op))
    if rows is None:
        return None
    low, high, peak = (np.atleast_1d(np.asarray(values, dtype=np.int64)) for values in rows(op, inputs))
    return Accumulator(low, high, peak)


def _weighted_range(op: Conv2d | Linear, inputs: Types) -> tuple[Any, Any, Any]:
    low, high = accumulator_range(op.weight.values, op.bias, inputs[0].limits)
    return low, high, accumulator_peak(op, inputs[0].limits)


def _sum_range(op: Add, inputs: Types) -> tuple[Any, Any, Any]:
    corners = _corners(inputs)
    first, second = op.signed_multipliers
    sums = [a * first + b * second for a, b in corners]
    return min(sums), max(sums), add_peak(op, inputs[0].limits, inputs[1].limits)


def _product_range(op: Mul, inputs: Types) -> tuple[Any, Any, Any]:
    products = [a * b for a, b in _corners(inputs)]
    return min(products), max(products), max(map(abs, products))


def _corners(inputs: Types) -> list[tuple[int, int]]:
    ends, others = (value.limits for value in inputs)
    return [(a, b) for a in ends for b in others]


def _scaled_range(gain: int) -> Callable[[Operator, Types], tuple[Any, Any, Any]]:
    def reach(op: Operator, inputs: Types) -> tuple[Any, Any, Any]:
        low, high = inputs[0].limits
        return gain * low, gain * high, gain * max(-low, high)

    return reach


RANGES: dict[type[Operator], Callable[[Any, Types], tuple[Any, Any, Any]]] = {
    Conv2d: _weighted_range,
    Linear: _weighted_range,
    Add: _sum_range,
    Sub: _sum_range,
    Mul: _product_range,
    Rescale: _scaled_range(1),
    ResizeBilinear2x: _scaled_range(int(BILINEAR_KERNEL.sum())),
}


def is_proven(op: Operator, inputs: Types, output: TensorType, rules: Collection[str]) -> bool:
    """Return whether each of `rules` gives the defined integers in every channel of `op`, see :func:`proofs_of`."""
    found = proofs_of(op, inputs, output, rules)
    return len(found) == len(rules) and all(proof.proven.all() for proof in found)


def proofs_of(
    op: Operator, inputs: Types, output: TensorType, rules: Collection[str] | None = None
) -> tuple[Proof, ...]:
    """Return what is proven of `op`, an operator of a verified program, rule by rule, the definition first.

    Args:
        op: The operator.
        inputs: Types of the values that it reads.
        output: Type of its result.
        rules: Ask for these only; None asks for all.
    """
    return tuple(prove() for name, prove in _questions(op, inputs, output) if rules is None or name in rules)


def _questions(op: Operator, inputs: Types, output: TensorType) -> Iterator[tuple[str, Callable[[], Proof]]]:
    """Yield each rule with what proves it."""
    channels = output.shape[2]
    accumulator = accumulator_of(op, inputs)
    if accumulator is None:
        yield "any", partial(_proof, "any", ALONE[type(op)], True, channels)
        return
    yield "int64", partial(_proof, "int64", "definition", True, channels)
    rounding = getattr(op, "requantize", None)
    if rounding is None:
        held = accumulator.peak < FLOAT64_EXACT
        yield "float64", partial(_proof, "float64", "exact", held, channels, LARGE)
        for rule in CONV_RULES:
            yield rule.name, partial(_unrounded, op, rule, accumulator, inputs, channels)
        return
    yield "float64", partial(_in_float, "float64", FLOAT64_EXACT, rounding, accumulator, channels)
    if _only_shifts(op, rounding):
        name = FLOAT32_FLOOR.name
        yield name, partial(_in_float, name, FLOAT32_EXACT, rounding, accumulator, channels)
    if isinstance(op, Add):
        for sums in ADD_RULES:
            yield sums.name, partial(_on_pairs, op, sums, inputs, output)
        return
    for rule in CONV_RULES:
        yield rule.name, partial(_on_thresholds, op, accumulator, rule, inputs, output)


ALONE = {
    MaxPool2d: "selection",
    ResizeNearest: "selection",
    Concat: "selection",
    Slice: "selection",
    DepthToSpace: "selection",
    Pad: "selection",
    Lut: "256 entries",
}
"""Operators that do not compute, and what that makes of a proof."""


def _proof(rule: str, method: str, proven: Any, channels: int, refusal: Refusal = ("", "")) -> Proof:
    held = np.broadcast_to(np.asarray(proven, dtype=bool), channels)
    return Proof(rule, method, held, *(("", "") if held.all() else refusal))


def _reads_bytes(op: Any, inputs: Types) -> bool:
    weights = op.weight.dtype if isinstance(op, (Conv2d, Linear)) else BYTES[0]
    return all(dtype in BYTES for dtype in (weights, *(value.dtype for value in inputs)))


def _unrounded(op: Any, rule: ConvRule, accumulator: Accumulator, inputs: Types, channels: int) -> Proof:
    """An accumulator that leaves as it is: nothing rounds, as long as the sum is held exactly."""
    carried = not rule.bytes_only or _reads_bytes(op, inputs)
    held = (accumulator.peak < FLOAT32_EXACT) & carried
    return _proof(rule.name, "exact", held, channels, LARGE if carried else WIDE)


def _only_shifts(op: Any, rounding: Requantize) -> bool:
    multipliers = np.abs(op.multipliers if isinstance(op, Add) else rounding.multiplier)
    return bool((multipliers & (multipliers - 1) == 0).all())


def _in_float(name: str, limit: int, rounding: Requantize, accumulator: Accumulator, channels: int) -> Proof:
    """``floor(acc · M · 2^−s + ½)`` is exact while both terms, in units of 2^−s or of halves, stay below `limit`."""
    multiplier, shift = (values.astype(object) for values in (rounding.multiplier, rounding.shift))
    units = 1 + (shift == 0)  # what is not shifted is still added to a half
    needed = (accumulator.peak.astype(object) * multiplier + half_of(rounding.shift)) * units
    return _proof(name, "exact", needed < limit, channels, LARGE)


def _obstacle(rule: ConvRule | AddRule, op: Any, inputs: Types, output: TensorType) -> Refusal | None:
    """Return why `rule` cannot be asked at all."""
    if output.dtype not in BYTES:
        return TIES
    if isinstance(rule, AddRule) or rule.bytes_only:
        if not _reads_bytes(op, inputs):
            return WIDE
        if rule.bytes_only and (op.requantize.quant_min, op.requantize.quant_max) != int_range(output.dtype):
            return NARROW
    return None


def _on_thresholds(op: Any, accumulator: Accumulator, rule: ConvRule, inputs: Types, output: TensorType) -> Proof:
    rounding, channels = op.requantize, output.shape[2]
    refusal = _obstacle(rule, op, inputs, output)
    if refusal:
        return _proof(rule.name, "thresholds", False, channels, refusal)
    clamp = (rounding.quant_min, rounding.quant_max)
    facts = {"low": accumulator.low, "high": accumulator.high, "bias": getattr(op, "bias", np.zeros(1))}
    proven = agrees(rule, rounding.multiplier, rounding.shift, clamp, **facts)
    return _proof(rule.name, "thresholds", proven, channels, _steps(rule, op, clamp, facts, proven))


def _steps(rule: ConvRule, op: Any, clamp: tuple[int, int], facts: dict[str, Any], proven: Bools) -> Refusal:
    """Return the reason with the accumulator of the first refused channel that shows it."""
    if proven.all():
        return STEPS
    channel = int(proven.argmin())
    pick = {name: np.broadcast_to(values, len(proven))[channel] for name, values in facts.items()}
    multiplier, shift = (
        int(np.broadcast_to(values, len(proven))[channel]) for values in (op.requantize.multiplier, op.requantize.shift)
    )
    acc, defined, got = counterexample(rule, multiplier, shift, clamp, **pick)
    return f"{STEPS[0]}: channel {channel} rounds the accumulator {acc} to {got} and not to {defined}", STEPS[1]


def _on_pairs(op: Add, rule: AddRule, inputs: Types, output: TensorType) -> Proof:
    rounding, channels = op.requantize, output.shape[2]
    refusal = _obstacle(rule, op, inputs, output)
    if refusal:
        return _proof(rule.name, "65,536 pairs", False, channels, refusal)
    first, second = (value.limits for value in inputs)
    clamp = (rounding.quant_min, rounding.quant_max)
    proven = agrees_on_pairs(rule, op.signed_multipliers, int(rounding.shift[0]), (first, second), clamp)
    return _proof(rule.name, "65,536 pairs", proven, channels, STEPS)
