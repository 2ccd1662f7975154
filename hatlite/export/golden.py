"""The golden form: every operator as integer arithmetic, or as a QLinearConv that is proven to be the same function.

It depends on no graph optimiser. Tensors between operators are uint8, with zero point 128 for int8 values and 0 for
uint8 values, and int32 for int16 values and raw accumulators. Additions stay integers: the fused kernels that ONNX
Runtime has for them round differently on x86 and on ARM.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hatlite.errors import ProgramError
from hatlite.export.onnx_graph import OnnxGraph
from hatlite.export.proof import Convolution, as_convolution, golden_scales, is_convolution
from hatlite.ops.integer.engine_rules import BYTES, zero_point
from hatlite.program import (
    Add,
    Conv2d,
    DepthToSpace,
    IntProgram,
    Linear,
    MaxPool2d,
    Operator,
    Requantize,
    Rescale,
    ResizeBilinear2x,
    ResizeNearest,
    Slice,
)
from hatlite.qparams import int_range, int_type

__all__ = ["OPSET", "RULES", "STORAGE", "depth_to_space", "edge_pad", "nearest_resize", "pool_window", "sliced"]

OPSET = 13

STORAGE: dict[str, type[np.generic]] = {"int8": np.uint8, "uint8": np.uint8, "int16": np.int32, "int32": np.int32}
"""Type of a value of the program → type of the tensor that carries it."""

LOW_BYTE = 256


def nearest_resize(graph: OnnxGraph, x: str, factor: int) -> str:
    """Repeat pixels; the pixel under the centre is asked for, far from any rounding."""
    scales = np.array([1, 1, factor, factor], np.float32)
    modes = {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_floor"}
    return graph.node("Resize", x, "", scales, mode="nearest", **modes)


def edge_pad(graph: OnnxGraph, x: str) -> str:
    """Repeat the outermost pixels once."""
    return graph.node("Pad", x, np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), mode="edge")


def sliced(graph: OnnxGraph, x: str, op: Slice) -> str:
    """Take rows, columns and channels."""
    ends = (np.array([axes[2], axes[0], axes[1]], np.int64) for axes in (op.start, op.stop, op.step))
    start, stop, step = ends
    return graph.node("Slice", x, start, stop, np.array([1, 2, 3], np.int64), step)


def depth_to_space(graph: OnnxGraph, x: str, op: DepthToSpace, program: IntProgram) -> str:
    """Make pixels of channels; ONNX's own DepthToSpace knows square blocks alone, and runtimes few types for it."""
    height, width, channels = program.values[op.output].shape
    rows, columns = op.block
    split = np.array([0, channels, rows, columns, height // rows, width // columns], np.int64)  # 0 keeps the batch
    blocks = graph.node("Transpose", graph.node("Reshape", x, split), perm=[0, 1, 4, 2, 5, 3])
    return graph.node("Reshape", blocks, np.array([0, channels, height, width], np.int64))


def pool_window(op: MaxPool2d) -> dict[str, Any]:
    """Return the attributes of an ONNX pool."""
    return {"kernel_shape": op.kernel, "strides": op.stride, "pads": op.padding * 2}


@dataclass(frozen=True)
class _Term:
    """``(tensor − zero) · multiplier`` in a sum that is rounded; multiplier and peak are () or (C,)."""

    tensor: str
    multiplier: ArrayLike
    zero: int
    peak: ArrayLike

    @classmethod
    def of(cls, tensor: str, multiplier: ArrayLike, dtype: str) -> "_Term":
        """A value of the program, as a tensor carries it."""
        return cls(tensor, multiplier, zero_point(dtype), int_type(dtype).magnitude + zero_point(dtype))


def _column(values: ArrayLike) -> NDArray[np.int64]:
    """Channels in the second axis."""
    return np.asarray(values, np.int64).reshape(-1, 1, 1)


def _requantize(graph: OnnxGraph, terms: Sequence[_Term], rule: Requantize, dtype: str) -> str:
    """Append ``clamp((Σ (tensor − zero) · M + 2^(s−1)) >> s)``.

    quant_min · 2^s is taken away before the shift: what would be negative is below the clamp, and the rest can be
    shifted as an unsigned number. No Max or Clip touches an int64: ONNX Runtime compares only their lower halves on
    some x86 builds (microsoft/onnxruntime#32475).
    """
    shift = _column(rule.shift)
    constant = (np.int64(1) << (shift - 1)) - (np.int64(rule.quant_min) << shift)
    peak = np.abs(constant)
    for term in terms:
        constant = constant - _column(term.multiplier) * term.zero
        peak = peak + _column(term.peak) * _column(term.multiplier)
    narrow = int(peak.max()) < 2**31
    signed, unsigned = (np.int32, np.uint32) if narrow else (np.int64, np.uint64)
    total: str | NDArray[Any] = constant.astype(signed)
    for term in terms:
        product = graph.cast(term.tensor, signed)
        if not np.array_equal(term.multiplier, 1):
            product = graph.node("Mul", product, _column(term.multiplier).astype(signed))
        total = graph.node("Add", product, total)
    positive = graph.node("Where", graph.node("Greater", total, signed(0)), total, signed(0))
    shifted = graph.node("BitShift", graph.cast(positive, unsigned), shift.astype(unsigned), direction="RIGHT")
    level = graph.node("Clip", shifted, "", unsigned(rule.quant_max - rule.quant_min))
    offset = rule.quant_min + zero_point(dtype)
    if offset:
        level = graph.node("Add", graph.cast(level, np.int32), np.int32(offset))
    return graph.cast(level, STORAGE[dtype])


def _convolve(graph: OnnxGraph, conv: Convolution, x: str, dtype: str) -> tuple[str, type[np.generic]]:
    """Append the sums of products and the bias; return them and their type."""
    bias = _column(conv.bias)
    if dtype != "int16":
        sums = graph.node("ConvInteger", x, conv.weight, np.uint8(zero_point(dtype)), **conv.window)
        return graph.node("Add", sums, bias.astype(np.int32)), np.int32
    unsigned = graph.cast(graph.node("Add", x, np.int32(-int_range(dtype)[0])), np.uint32)
    high = graph.cast(graph.node("BitShift", unsigned, np.uint32(8), direction="RIGHT"), np.uint8)
    low = graph.cast(graph.node("Mod", unsigned, np.uint32(LOW_BYTE)), np.uint8)
    highs = graph.cast(graph.node("ConvInteger", high, conv.weight, np.uint8(128), **conv.window), np.int64)
    lows = graph.cast(graph.node("ConvInteger", low, conv.weight, np.uint8(0), **conv.window), np.int64)
    sums = graph.node("Add", graph.node("Mul", highs, np.int64(LOW_BYTE)), lows)
    return graph.node("Add", sums, bias), np.int64


def _check_low_byte(op: Operator, conv: Convolution) -> None:
    worst = int(np.abs(conv.weight.astype(np.int64)).sum(axis=(1, 2, 3)).max()) * (LOW_BYTE - 1)
    if worst >= 2**31:
        raise ProgramError(
            f"{op.kind} {op.name!r} ({op.source}): the low bytes of its int16 input can sum up to {worst}, beyond the "
            "int32 of ONNX's ConvInteger; give the layer fewer inputs or an 8-bit one."
        )


def _weighted(graph: OnnxGraph, op: Operator, program: IntProgram, x: str) -> str:
    """Append a convolution, as one QLinearConv where that is proven."""
    x_type, y_type = program.values[op.inputs[0]], program.values[op.output]
    conv = as_convolution(op, x_type)
    scales = golden_scales(conv, x_type, y_type)
    if scales is not None and conv.requantize is not None:
        zeros = [np.uint8(zero_point(value.dtype)) for value in (x_type, y_type)]
        weight = (conv.weight, scales.weight, np.zeros(len(conv.weight), np.int8))
        y = graph.node(
            "QLinearConv", x, scales.x, zeros[0], *weight, scales.y, zeros[1], conv.bias.astype(np.int32), **conv.window
        )
        return _clip(graph, y, conv.requantize, y_type.dtype)
    if x_type.dtype == "int16":
        _check_low_byte(op, conv)
    acc, width = _convolve(graph, conv, x, x_type.dtype)
    if conv.requantize is not None:
        peak = np.max(np.abs(conv.reach(x_type.dtype)), axis=0)
        return _requantize(graph, [_Term(acc, conv.requantize.multiplier, 0, peak)], conv.requantize, y_type.dtype)
    acc = acc if width is np.int32 else graph.cast(acc, np.int32)
    return acc if conv.activation_min is None else graph.node("Max", acc, np.int32(conv.activation_min))


def _clip(graph: OnnxGraph, y: str, rule: Requantize, dtype: str) -> str:
    """Clamp where the saturation of the type does not do it."""
    if (rule.quant_min, rule.quant_max) == int_range(dtype):
        return y
    limits = (np.uint8(limit + zero_point(dtype)) for limit in (rule.quant_min, rule.quant_max))
    return graph.node("Clip", y, *limits)


def _bilinear(graph: OnnxGraph, op: ResizeBilinear2x, program: IntProgram, x: str) -> str:
    return _weighted(graph, op, program, edge_pad(graph, nearest_resize(graph, x, 2)))


def _add(graph: OnnxGraph, op: Add, program: IntProgram, a: str, b: str) -> str:
    dtypes = [program.values[name].dtype for name in op.inputs]
    terms = [_Term.of(*term) for term in zip((a, b), op.multipliers, dtypes, strict=True)]
    return _requantize(graph, terms, op.requantize, program.values[op.output].dtype)


def _rescale(graph: OnnxGraph, op: Rescale, program: IntProgram, x: str) -> str:
    x_type = program.values[op.inputs[0]]
    if is_convolution(op, x_type):
        return _weighted(graph, op, program, x)
    term = _Term.of(x, op.requantize.multiplier, x_type.dtype)
    return _requantize(graph, [term], op.requantize, program.values[op.output].dtype)


def _max_pool(graph: OnnxGraph, op: MaxPool2d, program: IntProgram, x: str) -> str:
    if program.values[op.output].dtype in BYTES:
        return graph.node("MaxPool", x, **pool_window(op))
    real = graph.cast(x, np.float32)  # ONNX pools no wider integers; float32 holds int16
    return graph.cast(graph.node("MaxPool", real, **pool_window(op)), np.int32)


RULES: dict[type[Operator], Callable[..., str]] = {
    Conv2d: _weighted,
    Linear: _weighted,
    Add: _add,
    MaxPool2d: _max_pool,
    ResizeNearest: lambda graph, op, program, x: nearest_resize(graph, x, op.factor),
    ResizeBilinear2x: _bilinear,
    Rescale: _rescale,
    Slice: lambda graph, op, program, x: sliced(graph, x, op),
    DepthToSpace: lambda graph, op, program, x: depth_to_space(graph, x, op, program),
}
"""(graph, op, program, *input tensors) → output tensor; one row per operator."""
