"""Programs that ask a runtime the hardest questions: the accumulators at which results step, and full-scale sums."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.export.proof import Convolution, as_convolution, certified, is_convolution
from hatlite.ops.integer.certificate import thresholds
from hatlite.ops.integer.engine_rules import CONV_RULES
from hatlite.ops.integer.snap import snap
from hatlite.program import (
    Conv2d,
    IntProgram,
    Operator,
    Port,
    Requantize,
    Source,
    TensorType,
    Weight,
)
from hatlite.qparams import int_range, int_type

__all__ = ["FULL_SCALE", "probe_inputs", "probe_program"]

FULL_SCALE = "full_scale"
SIDE, CHANNELS, LARGEST_WEIGHT = 5, 64, 127

Question = tuple[Conv2d, TensorType, TensorType]


def probe_program(program: IntProgram) -> IntProgram:
    """Return a program with one convolution for each certified one of `program`, and one with full-scale sums.

    A convolution has weights of 0 and, for each channel and level of its model, one channel whose bias is the smallest
    accumulator that reaches the level and one whose bias lies 1 below: where rounding differs at all, it differs there.
    The full-scale sums find processors whose 8-bit products saturate in 16 bits.
    """
    questions = [*_steps_of(program), _full_scale()]
    values = {op.inputs[0]: x for op, x, _ in questions} | {op.output: y for op, _, y in questions}
    inputs = tuple(_port(op.inputs[0], values) for op, _, _ in questions)
    outputs = tuple(_port(op.output, values) for op, _, _ in questions)
    return IntProgram(f"{program.name} probe", program.march, inputs, outputs, tuple(q[0] for q in questions), values)


def probe_inputs(probe: IntProgram) -> dict[str, NDArray[Any]]:
    """Return the largest value of each input everywhere, (1, H, W, C)."""
    return {
        port.name: np.full((1, *probe.values[port.value].shape), int_type(port.dtype).quant_max, port.dtype)
        for port in probe.inputs
    }


def _port(name: str, values: dict[str, TensorType]) -> Port:
    return Port(name, name, values[name].dtype, values[name].scale)


def _steps_of(program: IntProgram) -> Iterator[Question]:
    for op in program.ops:
        x, y = program.values[op.inputs[0]], program.values[op.output]
        if is_convolution(op, x):
            conv = as_convolution(op, x)
            if certified(conv, x, y):
                probe = _steps(op, conv, x.dtype)
                into, out = TensorType((1, 1, 1), x.dtype, x.scale), (1, 1, len(probe.bias))
                yield probe, into, TensorType(out, y.dtype, y.scale)


def _steps(op: Operator, conv: Convolution, dtype: str) -> Conv2d:
    rule = conv.requantize
    multiplier, shift = conv.rounding()
    low, high = (bound[:, None] for bound in conv.reach(dtype))
    levels = thresholds(multiplier, shift, (rule.quant_min, rule.quant_max))
    asked = np.concatenate([levels, levels - 1, np.clip(0, low, high)], axis=1)  # a dead channel reaches no level
    reached = (asked >= low) & (asked <= high)
    channel = np.nonzero(reached)[0]
    scale = None if conv.scale is None else conv.scale[channel]
    return Conv2d(
        name=op.name,
        inputs=(f"{op.name}/x",),
        output=op.name,
        source=op.source,
        weight=Weight(np.zeros((len(channel), 1, 1, 1), np.int8), scale),
        bias=asked[reached],
        requantize=Requantize(multiplier[channel], shift[channel], rule.quant_min, rule.quant_max),
    )


def _full_scale() -> Question:
    """A 3×3 convolution whose weights are ±127: all of one sign, of the other, and in turns."""
    weight = np.full((3, 3, 3, CHANNELS), LARGEST_WEIGHT, np.int8)
    weight[1] = -LARGEST_WEIGHT
    weight[2, :, :, ::2] = -LARGEST_WEIGHT
    peak = int(weight[0].astype(np.int64).sum()) * int_type("uint8").quant_max
    clamp = int_range("int8")
    found = snap([clamp[1] / peak], 1.0, 1.0, clamp, CONV_RULES[:1])
    op = Conv2d(
        name=FULL_SCALE,
        inputs=(f"{FULL_SCALE}/x",),
        output=FULL_SCALE,
        source=Source("probe"),
        weight=Weight(weight, np.repeat(found.weight_scale, 3)),
        bias=np.zeros(3, np.int32),
        requantize=Requantize(found.multiplier, found.shift, *clamp),
        padding=(1, 1),
    )
    return op, TensorType((SIDE, SIDE, CHANNELS), "uint8", 1.0), TensorType((SIDE, SIDE, 3), "int8", 1.0)
