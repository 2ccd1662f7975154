"""The golden form: every operator as integer arithmetic, or as a QLinearConv that is proven to be the same function.

It depends on no graph optimiser. Tensors between operators are uint8, with zero point 128 for int8 values and 0 for
uint8 values, and int32 for int16 values and raw accumulators. Additions, differences and products stay integers: the
fused kernels that ONNX Runtime has for them round differently on x86 and on ARM. A table is a Gather.
"""

from collections.abc import Callable

import numpy as np

from hatlite.export.ends import INTEGER_ENDS
from hatlite.export.integer_nodes import STORAGE, Term, convolve, product, requantize
from hatlite.export.moves import MOVES, edge_pad, lookup, nearest_resize
from hatlite.export.onnx_graph import OnnxGraph
from hatlite.export.proof import as_convolution, golden_scales, is_convolution
from hatlite.ops.integer.engine_rules import BYTES, zero_point
from hatlite.program import (
    Add,
    Conv2d,
    IntProgram,
    Linear,
    Lut,
    MaxPool2d,
    Mul,
    Operator,
    Requantize,
    Rescale,
    ResizeBilinear2x,
    Sub,
)
from hatlite.qparams import int_range

__all__ = ["ENDS", "OPSET", "RULES", "STORAGE"]

ENDS = INTEGER_ENDS
OPSET = 18  # Pad with axes


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
    acc, width = convolve(graph, conv, x, x_type.dtype)
    if conv.requantize is not None:
        peak = np.max(np.abs(conv.reach(x_type)), axis=0)
        return requantize(graph, [Term(acc, conv.requantize.multiplier, 0, peak)], conv.requantize, y_type.dtype)
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


def _sum(graph: OnnxGraph, op: Add, program: IntProgram, a: str, b: str) -> str:
    dtypes = [program.values[name].dtype for name in op.inputs]
    terms = [Term.of(*term) for term in zip((a, b), op.signed_multipliers, dtypes, strict=True)]
    return requantize(graph, terms, op.requantize, program.values[op.output].dtype)


def _mul(graph: OnnxGraph, op: Mul, program: IntProgram, a: str, b: str) -> str:
    pair = [(tensor, program.values[name].dtype) for tensor, name in zip((a, b), op.inputs, strict=True)]
    term = product(graph, pair, op.requantize.multiplier)
    return requantize(graph, [term], op.requantize, program.values[op.output].dtype)


def _rescale(graph: OnnxGraph, op: Rescale, program: IntProgram, x: str) -> str:
    x_type = program.values[op.inputs[0]]
    if is_convolution(op, x_type):
        return _weighted(graph, op, program, x)
    term = Term.of(x, op.requantize.multiplier, x_type.dtype)
    return requantize(graph, [term], op.requantize, program.values[op.output].dtype)


def _moved(graph: OnnxGraph, op: Operator, program: IntProgram, *tensors: str) -> str:
    dtype = program.values[op.output].dtype
    move, zero = MOVES[type(op)], STORAGE[dtype](zero_point(dtype))
    if isinstance(op, MaxPool2d) and dtype not in BYTES:  # ONNX pools no wider integers; float32 holds int16
        reals = [graph.cast(tensor, np.float32) for tensor in tensors]
        return graph.cast(move(graph, op, program, zero, *reals), np.int32)
    return move(graph, op, program, zero, *tensors)


def _lut(graph: OnnxGraph, op: Lut, program: IntProgram, x: str) -> str:
    dtype = program.values[op.output].dtype
    return lookup(graph, op, x, dtype, STORAGE[dtype])


RULES: dict[type[Operator], Callable[..., str]] = {
    Conv2d: _weighted,
    Linear: _weighted,
    Add: _sum,
    Sub: _sum,
    Mul: _mul,
    ResizeBilinear2x: _bilinear,
    Rescale: _rescale,
    Lut: _lut,
    **dict.fromkeys(MOVES, _moved),
}
"""(graph, op, program, *input tensors) → output tensor; one row per operator."""
