"""Operators as steps of C: each rule fills in a :class:`~hatlite.executor.native.layout.Step` but for its tensors."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.executor.native.layout import Kind, Rounds, Step, Stores
from hatlite.ops.integer.certificate import agrees
from hatlite.ops.integer.engine_rules import BYTES, CONV_RULES, zero_point
from hatlite.ops.integer.fixed_point import half_of, requantize
from hatlite.ops.integer.reference import BILINEAR_KERNEL
from hatlite.program import (
    Add,
    Concat,
    Conv2d,
    IntProgram,
    Linear,
    Lut,
    MaxPool2d,
    Operator,
    Requantize,
    Rescale,
    ResizeBilinear2x,
    ResizeNearest,
    Sub,
    TensorType,
)
from hatlite.program.bounds import accumulator_range, add_peak
from hatlite.qparams import int_range

__all__ = ["PARTS", "Part", "fuse_addition"]

RULE = next(rule for rule in CONV_RULES if rule.name == "float32")
INT32 = 2**31
BLOCK, WIDE_BLOCK, ROWS = 16, 64, 4  # channels of a vector, of a depthwise step, bytes that vpdpbusd sums
STORES = {"int8": Stores.BYTES, "uint8": Stores.BYTES, "int16": Stores.WORDS, "int32": Stores.RAW}

Ints = NDArray[Any]


@dataclass
class Part:
    """What C does for one operator.

    Attributes:
        steps: One, or one per input that is copied.
        kernel: For reports.
        padding: Pixels around the input that are read.
        constants: What the steps point to.
    """

    steps: list[Step]
    kernel: str = "native"
    padding: int = 0
    constants: list[Ints] = field(default_factory=list)

    def point(self, name: str, values: Any, dtype: Any) -> None:
        """Keep `values` and let all steps point to them."""
        array = np.ascontiguousarray(values, dtype)
        self.constants.append(array)
        for step in self.steps:
            setattr(step, name, array.ctypes.data)


def _padded(values: Ints, multiple: int) -> Ints:
    """Return (C, …) with zeros up to a multiple of channels."""
    return np.pad(values, [(0, -len(values) % multiple)] + [(0, 0)] * (values.ndim - 1))


def _interleaved(channels: Ints) -> Ints:
    """Return (C, …) in the order in which unpacked bytes lie: vector g of 64 channels holds 16·lane + 4·g … + 3."""
    blocks = channels.reshape(-1, 4, 4, 4, *channels.shape[1:])  # block, lane, g, channel
    return blocks.swapaxes(1, 2).reshape(channels.shape)


def _rounding(part: Part, rule: Requantize, reach: tuple[Any, Any], order: Callable[[Ints], Ints]) -> None:
    """Fill in multipliers and clamp; where nothing is multiplied, shifts round, else float32 where that is proven."""
    clamp = (rule.quant_min, rule.quant_max)
    low, high = map(np.asarray, reach)
    multiplier, shift = (
        np.broadcast_to(values, low.shape).astype(np.int64) for values in (rule.multiplier, rule.shift)
    )
    if bool((multiplier == 1).all() and (np.maximum(-low, high) + half_of(shift) < INT32).all()):
        for step in part.steps:
            step.rounds, step.low, step.high = Rounds.SHIFT, *clamp
        part.point("half", order(half_of(shift)), np.int32)
        part.point("right", order(shift), np.int32)
        return
    factor = np.ldexp(multiplier.astype(np.float64), -shift)
    fits = bool((np.maximum(-low, high) * factor < INT32 // 2).all())  # a zero point comes on top
    proven = fits and bool(agrees(RULE, multiplier, shift, clamp, low=low, high=high).all())
    part.kernel = "native" if proven else "native, 64-bit rounding"
    for step in part.steps:
        step.rounds = Rounds.FLOAT32 if proven else Rounds.WHOLE
        step.low, step.high = clamp
    part.point("factor", order(factor), np.float32)
    part.point("multiplier", order(multiplier), np.int64)
    part.point("shift", order(shift), np.int64)


def _place_window(step: Step, op: Operator, x: TensorType) -> None:
    """Fill in padding, stride and dilation; those beyond the padded picture mean its size, whatever int32 holds."""
    step.pad_y, step.pad_x = padding = getattr(op, "padding", (0, 0))
    for name in ("stride", "dilation"):
        for axis, value, side, pad in zip("yx", getattr(op, name, (1, 1)), x.shape[:2], padding, strict=True):
            setattr(step, f"{name}_{axis}", min(value, side + 2 * pad))


def _weighted(op: Conv2d | Linear, program: IntProgram) -> Part | None:
    x, y = (program.values[name] for name in (op.inputs[0], op.output))
    groups, channels = getattr(op, "groups", 1), len(op.weight.values)
    low, high = accumulator_range(op.weight.values, op.bias, x.limits)
    if x.dtype not in BYTES or op.weight.dtype not in BYTES or max(-low.min(), high.max()) >= INT32:
        return None
    step = Step(stores=STORES[y.dtype], low=-INT32 if op.activation_min is None else op.activation_min)
    part = Part([step])
    step.kernel_y, step.kernel_x = op.weight.values.shape[1:3]
    _place_window(step, op, x)
    part.padding = max(step.pad_y, step.pad_x)
    order: Callable[[Ints], Ints]
    if groups == 1:
        order = _dense(part, op.weight.values, x)
    elif groups == channels == x.shape[2] and step.stores == Stores.BYTES:
        order = _depthwise(part, op.weight.values)
    else:
        return None
    sums = op.weight.values.astype(np.int64).sum(axis=(1, 2, 3)) * zero_point(x.dtype)
    part.point("bias", order((op.bias - sums + INT32) % (2 * INT32) - INT32), np.int32)  # int32 wraps around
    if op.requantize is not None:
        _rounding(part, op.requantize, (low, high), order)
    return part


def _dense(part: Part, weight_OhwI: Ints, x: TensorType) -> Callable[[Ints], Ints]:
    """Pack the weights as `convolution.c` reads them; return the order of its constants."""
    step = part.steps[0]
    step.kind = Kind.CONVOLUTION
    piece = weight_OhwI.shape[3] * (step.kernel_x if step.dilation_x == 1 else 1)  # what lies side by side
    pieces = _padded(weight_OhwI, BLOCK).reshape(-1, weight_OhwI[0].size // piece, piece)
    padded = np.pad(pieces, [(0, 0), (0, 0), (0, -piece % 4)])
    blocks = padded.reshape(len(padded) // BLOCK, BLOCK, -1, 4).transpose(0, 2, 1, 3)  # block, four inputs, 16, 4
    step.run = padded.shape[2] // 4
    groups = -(-len(blocks) // 4)
    edges = [len(blocks) * group // groups for group in range(groups + 1)]
    packed = [blocks[a:b].swapaxes(0, 1).ravel() for a, b in pairwise(edges)]
    part.point("weight", np.concatenate(packed), np.int8)
    return lambda values: _padded(values, BLOCK)


def _depthwise(part: Part, weight_Ohw1: Ints) -> Callable[[Ints], Ints]:
    """Pack the weights as `depthwise.c` reads them; return the order of its constants."""
    step = part.steps[0]
    step.kind = Kind.DEPTHWISE
    height, width = weight_Ohw1.shape[1:3]
    rows = np.pad(weight_Ohw1[..., 0], [(0, 0), (0, -height % ROWS), (0, 0)])
    ordered = _interleaved(_padded(rows, WIDE_BLOCK)).reshape(-1, WIDE_BLOCK, rows.shape[1] // ROWS, ROWS, width)
    part.point("weight", ordered.transpose(0, 4, 2, 1, 3), np.int8)  # block, column, four rows, channel, row
    return lambda values: _interleaved(_padded(values, WIDE_BLOCK))


def fuse_addition(step: Step, op: Add, *, first: int) -> None:
    """Fill in the sum of input number `first` of `op` and the other one."""
    multipliers, rule = op.signed_multipliers, op.requantize
    step.multiplier_x, step.multiplier_other = multipliers[first], multipliers[1 - first]
    step.add_shift = int(rule.shift[0])
    step.add_half = int(half_of(step.add_shift))
    step.add_low, step.add_high = rule.quant_min, rule.quant_max


def _all_bytes(op: Operator, program: IntProgram) -> bool:
    return all(program.values[name].dtype in BYTES for name in (*op.inputs, op.output))


def _add(op: Add, program: IntProgram) -> Part | None:
    shift = int(op.requantize.shift[0])
    peak = add_peak(op, *(program.values[name].limits for name in op.inputs)) + int(half_of(shift))
    if not _all_bytes(op, program) or peak >= INT32:
        return None
    step = Step(kind=Kind.ADDITION)
    fuse_addition(step, op, first=0)
    return Part([step])


def _max_pool(op: MaxPool2d, program: IntProgram) -> Part | None:
    step = Step(kind=Kind.MAX_POOL, kernel_y=op.kernel[0], kernel_x=op.kernel[1])
    _place_window(step, op, program.values[op.inputs[0]])
    return Part([step]) if _all_bytes(op, program) else None


def _resize_nearest(op: ResizeNearest, program: IntProgram) -> Part | None:
    step = Step(kind=Kind.REPEAT, stride_y=op.factor, stride_x=op.factor)
    return Part([step]) if _all_bytes(op, program) else None


def _resize_bilinear(op: ResizeBilinear2x, program: IntProgram) -> Part | None:
    if not _all_bytes(op, program):
        return None
    x = program.values[op.inputs[0]]
    low, high = (np.full(x.shape[2], limit * int(BILINEAR_KERNEL.sum())) for limit in x.limits)
    part = Part([Step(kind=Kind.BILINEAR)])
    _rounding(part, op.requantize, (low, high), lambda values: _padded(values, BLOCK))
    return part


def _table(op: Lut | Rescale, program: IntProgram) -> Part | None:
    if not _all_bytes(op, program):
        return None
    if isinstance(op, Lut):
        entries: Ints = op.table
    elif op.requantize.multiplier.size == 1:
        low, high = int_range(program.values[op.inputs[0]].dtype)
        rule = op.requantize
        entries = requantize(np.arange(low, high + 1), rule.multiplier, rule.shift, rule.quant_min, rule.quant_max)
    else:
        return None
    part = Part([Step(kind=Kind.TABLE)])
    part.point("table", entries + zero_point(program.values[op.output].dtype), np.uint8)
    return part


def _concat(op: Concat, program: IntProgram) -> Part | None:
    if not _all_bytes(op, program):
        return None
    channels = [program.values[name].shape[2] for name in op.inputs]
    starts = np.cumsum([0, *channels[:-1]])
    part = Part([Step(kind=Kind.COPY, offset_channel=int(start)) for start in starts])
    part.point("table", [0], np.uint8)
    return part


PARTS: dict[type[Operator], Callable[..., Part | None]] = {
    Conv2d: _weighted,
    Linear: _weighted,
    Add: _add,
    Sub: _add,
    MaxPool2d: _max_pool,
    ResizeNearest: _resize_nearest,
    ResizeBilinear2x: _resize_bilinear,
    Lut: _table,
    Rescale: _table,
    Concat: _concat,
}
"""(op, program) → part; a rule returns None for what C has no step for."""
