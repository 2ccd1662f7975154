"""Programs that ask a runtime the hardest questions: where results step, every pair, every entry, full-scale sums."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.export.proof import Convolution, as_convolution, certified, is_convolution
from hatlite.march import Arithmetic, get_march
from hatlite.ops.integer.certificate import thresholds
from hatlite.ops.integer.engine_rules import BYTES
from hatlite.ops.integer.families import family_of
from hatlite.program import (
    Add,
    Conv2d,
    IntProgram,
    Linear,
    Lut,
    Mul,
    Operator,
    Port,
    Requantize,
    Source,
    TensorType,
    Weight,
)
from hatlite.qparams import int_range, int_type

__all__ = ["ASKED", "FULL_SCALE", "WIDE_FULL_SCALE", "Probe", "make_probe"]

FULL_SCALE = ("full_scale", "full_scale_raw")
WIDE_FULL_SCALE = "full_scale_int16"
"""Of 16-bit weights, whose low bytes are unsigned: other products of 8 bits than those of int8."""
ROUNDED, RAW = 32, 64
"""Channels: sums as large as roundings have a proof for, and sums beyond the 2^24 that float32 holds."""
SIDE = 5
BYTE_VALUES = 256

ASKED = {"thresholds of": "convolutions", "pairs of": "sums and products", "entries of": "tables"}
"""What is asked → of how many of which operators."""


@dataclass(frozen=True, eq=False)
class _Question:
    """One operator and what it is asked.

    Attributes:
        asked: Key of :data:`ASKED`.
        op: Its inputs and its output are its own.
        inputs: (1, H, W, C) integers, in the order in which the operator reads them.
        scales: Of the inputs, then of the output.
        dtype: Of the output.
        channels: Of the output.
    """

    asked: str
    op: Operator
    inputs: tuple[NDArray[Any], ...]
    scales: tuple[Any, ...]
    dtype: str
    channels: int

    def types(self) -> dict[str, TensorType]:
        """Return the type of each value."""
        types = {
            name: TensorType(array.shape[1:], str(array.dtype), scale)
            for name, array, scale in zip(self.op.inputs, self.inputs, self.scales, strict=False)
        }
        shape = (*self.inputs[0].shape[1:3], self.channels)
        return types | {self.op.output: TensorType(shape, self.dtype, self.scales[-1])}


@dataclass(frozen=True, eq=False)
class Probe:
    """Questions as a program.

    Attributes:
        program: One operator per question, all side by side; outputs have the names of the operators asked about.
        inputs: What the program takes, (1, H, W, C) each.
        asked: Name of an output → key of :data:`ASKED`.
    """

    program: IntProgram
    inputs: Mapping[str, NDArray[Any]]
    asked: Mapping[str, str]


def make_probe(program: IntProgram) -> Probe:
    """Return questions to every operator of `program` whose inputs can be enumerated, and full-scale sums.

    A certified convolution becomes one with weights of 0 and, for each channel and level of its model, one channel
    whose bias is the smallest accumulator that reaches the level and one whose bias lies 1 below: where rounding
    differs at all, it differs there. An addition, a difference or a product of two bytes gets all 65,536 pairs, a table
    its 256 entries. The full-scale sums, rounded and raw, find processors whose 8-bit products saturate in 16 bits; for
    a program with 16-bit weights there are some with these, too.
    """
    arithmetic = get_march(program.march).arithmetic
    wide = any(isinstance(op, (Conv2d, Linear)) and op.weight.dtype == "int16" for op in program.ops)
    questions = [*_questions(program, arithmetic), *_full_scale(arithmetic, wide)]
    values = {name: _in_bits(kind, arithmetic) for question in questions for name, kind in question.types().items()}
    arrays = {name: x for question in questions for name, x in zip(question.op.inputs, question.inputs, strict=True)}
    asked = {question.op.output: question.asked for question in questions}
    inputs, outputs = (
        tuple(Port(n, n, values[n].dtype, values[n].scale) for n in names) for names in (list(arrays), list(asked))
    )
    ops = tuple(question.op for question in questions)
    return Probe(IntProgram(f"{program.name} probe", program.march, inputs, outputs, ops, values), arrays, asked)


def _in_bits(kind: TensorType, arithmetic: Arithmetic) -> TensorType:
    """Return the type `kind` with the limits that the march gives its values."""
    return dataclasses.replace(kind, clamp=_limits(kind.dtype, arithmetic))


def _limits(dtype: str, arithmetic: Arithmetic) -> tuple[int, int]:
    bits = arithmetic.value_bits(dtype)
    return int_range(dtype) if bits is None else (0, 2**bits - 1)


def _questions(program: IntProgram, arithmetic: Arithmetic) -> Iterator[_Question]:
    for op in program.ops:
        inputs, y = [program.values[name] for name in op.inputs], program.values[op.output]
        if is_convolution(op, inputs[0]):
            conv = as_convolution(op, inputs[0])
            if certified(conv, inputs[0], y):
                yield _thresholds(op, conv, inputs[0], y, arithmetic)
        elif isinstance(op, (Add, Mul)) and all(x.dtype in BYTES for x in inputs):
            yield _pairs(op, inputs, y)
        elif isinstance(op, Lut):
            entries = _all_values(inputs[0].dtype).reshape(1, 1, -1, 1)
            yield _Question("entries of", _alone(op), (entries,), (inputs[0].scale, y.scale), y.dtype, 1)


def _alone(op: Operator, **changes: Any) -> Any:
    """The operator with values of its own."""
    inputs = tuple(f"{op.name}/{number}" for number in range(len(op.inputs)))
    return dataclasses.replace(op, inputs=inputs, output=op.name, **changes)


def _all_values(dtype: str) -> NDArray[Any]:
    low, high = int_range(dtype)
    return np.arange(low, high + 1).astype(dtype)


def _pairs(op: Add | Mul, inputs: list[TensorType], y: TensorType) -> _Question:
    """Each row has one a, each channel one b; of multipliers per channel, each different one gets all pairs."""
    rule, repeats = op.requantize, 1
    if rule.multiplier.size > 1:
        multiplier, shift = np.unique(np.stack([rule.multiplier, rule.shift]), axis=1)
        repeats = len(shift)
        multiplier, shift = (np.repeat(values, BYTE_VALUES) for values in (multiplier, shift))
        rule = dataclasses.replace(rule, multiplier=multiplier, shift=shift)
    channels = BYTE_VALUES * repeats
    first, second = (_all_values(x.dtype) for x in inputs)
    a = np.broadcast_to(first.reshape(1, -1, 1, 1), (1, BYTE_VALUES, 1, channels))
    rows = BYTE_VALUES if inputs[1].shape == inputs[0].shape else 1  # else b has one value per channel
    b = np.broadcast_to(np.tile(second, repeats), (1, rows, 1, channels))
    scales = (*(x.scale for x in inputs), y.scale)
    return _Question("pairs of", _alone(op, requantize=rule), (a, b), scales, y.dtype, channels)


def _thresholds(op: Operator, conv: Convolution, x: TensorType, y: TensorType, arithmetic: Arithmetic) -> _Question:
    """Of a march with short biases, the levels that a bias reaches; where channels must share a shift, depthwise."""
    rule = conv.requantize
    assert rule is not None
    multiplier, shift = conv.rounding()
    low, high = (bound[:, None] for bound in conv.reach(x))
    levels = thresholds(multiplier, shift, (rule.quant_min, rule.quant_max))
    asked = np.concatenate([levels, levels - 1, np.clip(0, low, high)], axis=1)  # a dead channel reaches no level
    limit = 2 ** (rule.bias_bits - 1)
    reached = (asked >= np.maximum(low, -limit)) & (asked <= np.minimum(high, limit - 1))
    channel = np.nonzero(reached)[0]
    groups = 1 if "channel" in arithmetic.weight_scales else len(channel)
    probe = Conv2d(
        name=op.name,
        inputs=(f"{op.name}/0",),
        output=op.name,
        source=op.source,
        weight=Weight(np.zeros((len(channel), 1, 1, 1), np.int8), None if conv.scale is None else conv.scale[channel]),
        bias=asked[reached],
        requantize=dataclasses.replace(rule, multiplier=multiplier[channel], shift=shift[channel]),
        groups=groups,
    )
    image = _largest(x.dtype, 1, groups, arithmetic)
    return _Question("thresholds of", probe, (image,), (x.scale, y.scale), y.dtype, len(channel))


def _largest(dtype: str, side: int, channels: int, arithmetic: Arithmetic) -> NDArray[Any]:
    return np.full((1, side, side, channels), _limits(dtype, arithmetic)[1], dtype)


def _full_scale(arithmetic: Arithmetic, wide: bool) -> Iterator[_Question]:
    """3×3 convolutions with the largest weights, all of one sign, of the other, and in turns: rounded, and raw.

    What the march cannot let out is left out, and what its shifts do not bring into the range gets fewer channels.
    """
    rounded = "int8" if "int8" in arithmetic.output_dtypes else "uint8"
    rows = [(FULL_SCALE[0], ROUNDED, rounded, "int8"), (FULL_SCALE[1], RAW, "int32", "int8")]
    if wide:
        rows.append((WIDE_FULL_SCALE, RAW, "int16", "int16"))
    for name, channels, dtype, weight_dtype in rows:
        if dtype in arithmetic.output_dtypes:
            op, image = _full_scale_sum(arithmetic, name, channels, dtype, weight_dtype)
            yield _Question("thresholds of", op, (image,), (1.0, 1.0), dtype, len(op.bias))


def _full_scale_sum(
    arithmetic: Arithmetic, name: str, channels: int, dtype: str, weight_dtype: str
) -> tuple[Conv2d, NDArray[Any]]:
    family, largest = family_of(arithmetic), int_type(weight_dtype).quant_max
    clamp, pixel = _limits("int8" if dtype == "int32" else dtype, arithmetic), _limits("uint8", arithmetic)[1]
    channels = min(channels, clamp[1] * 2**arithmetic.max_shift // (9 * largest * pixel))
    weight = np.full((3, 3, 3, channels), largest, weight_dtype)
    weight[1] = -largest
    weight[2, :, :, ::2] = -largest
    peak = int(weight[0].astype(np.int64).sum()) * pixel
    room = 2 if dtype == "int16" or arithmetic.unit_scales else 1  # far from saturation, so that a small error shows
    rules = () if dtype == "int16" else family.conv_rules[:1]  # of 16 bits ties are possible, so none holds
    found = family.snap([clamp[1] / (room * peak)], 1.0, 1.0, clamp, rules)
    bias_bits = arithmetic.bias_bits_behind("uint8", weight_dtype)
    rounding = Requantize(found.multiplier, found.shift, *clamp, bias_bits=bias_bits)
    op = Conv2d(
        name=name,
        inputs=(f"{name}/0",),
        output=name,
        source=Source("probe"),
        weight=Weight(weight, np.repeat(found.weight_scale, 3)),
        bias=np.zeros(3, np.int32),
        requantize=None if dtype == "int32" else rounding,
        padding=(1, 1),
    )
    return op, _largest("uint8", SIDE, channels, arithmetic)
