"""The portable form: real operators between QuantizeLinear and DequantizeLinear, for runtimes that fuse them.

Tensors between operators are uint8 with zero point 128 (int8 values) or 0 (uint8 values: their saturation is the ReLU,
so that nothing stands between a convolution and its QuantizeLinear), int16, and int32 for raw accumulators, which leave
as the rounded quotient of the real result and its scale.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.export.ends import INTEGER_ENDS
from hatlite.export.moves import MOVES, edge_pad, lookup, nearest_resize
from hatlite.export.onnx_graph import OnnxGraph
from hatlite.export.proof import Scales, as_convolution, is_convolution, shared_scales
from hatlite.ops.integer.engine_rules import zero_point
from hatlite.program import (
    Add,
    Conv2d,
    IntProgram,
    Linear,
    Lut,
    Mul,
    Operator,
    Requantize,
    Rescale,
    ResizeBilinear2x,
    Sub,
    TensorType,
)
from hatlite.qparams import int_range

__all__ = ["ENDS", "OPSET", "RULES", "STORAGE"]

ENDS = INTEGER_ENDS
OPSET = 21  # QuantizeLinear to int16

STORAGE: dict[str, type[np.generic]] = {"int8": np.uint8, "uint8": np.uint8, "int16": np.int16, "int32": np.int32}
"""Type of a value of the program → type of the tensor that carries it."""


def _parameters(kind: TensorType) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Return scale and zero point, one each or (C,)."""
    scale = np.asarray(kind.scale, np.float32)
    return scale, np.full(scale.shape, zero_point(kind.dtype), STORAGE[kind.dtype])


def _dequantize(graph: OnnxGraph, x: str, kind: TensorType) -> str:
    return graph.node("DequantizeLinear", x, *_parameters(kind), axis=1)


def _quantize(graph: OnnxGraph, real: str, kind: TensorType, rule: Requantize | None = None) -> str:
    """Append QuantizeLinear, and the clamp of `rule` where the saturation of the type does not do it."""
    low, high = int_range(kind.dtype) if rule is None else (rule.quant_min, rule.quant_max)
    narrower = (low, high) != int_range(kind.dtype)
    scale, zero = _parameters(kind)
    if narrower and kind.dtype == "int16":  # runtimes clip no int16 tensors
        real, narrower = graph.node("Clip", real, np.float32(low) * scale, np.float32(high) * scale), False
    q = graph.node("QuantizeLinear", real, scale, zero)
    return graph.node("Clip", q, *(np.uint8(limit + zero) for limit in (low, high))) if narrower else q


def _in_real(graph: OnnxGraph, move: Callable[..., str], kind: TensorType, *tensors: str) -> str:
    """Append what only moves values; their way to real numbers and back gives the same integers."""
    return _quantize(graph, move(*(_dequantize(graph, tensor, kind) for tensor in tensors)), kind)


def _moved(graph: OnnxGraph, op: Operator, program: IntProgram, *tensors: str) -> str:
    move = partial(MOVES[type(op)], graph, op, program, np.float32(0))
    return _in_real(graph, move, program.values[op.output], *tensors)


def _weighted(graph: OnnxGraph, op: Operator, program: IntProgram, x: str) -> str:
    x_type, y_type = program.values[op.inputs[0]], program.values[op.output]
    conv = as_convolution(op, x_type)
    if conv.requantize is not None:
        scales, _ = shared_scales(conv, x_type, y_type)
    else:
        weight_scale = np.broadcast_to(np.asarray(y_type.scale) / x_type.scale, conv.bias.shape).astype(np.float32)
        scales = Scales(np.float32(x_type.scale), weight_scale, np.float32(1))
    real = _dequantize(graph, x, x_type)
    weight = graph.node(
        "DequantizeLinear", conv.weight, scales.weight, np.zeros_like(conv.bias, conv.weight.dtype), axis=0
    )
    bias_scale = scales.weight * scales.x
    bias = graph.node("DequantizeLinear", conv.bias, bias_scale, np.zeros_like(conv.bias, np.int32), axis=0)
    real = graph.node("Conv", real, weight, bias, **conv.window)
    if conv.requantize is not None:
        return _quantize(graph, real, y_type, conv.requantize)
    return _raw(graph, real, bias_scale, conv.activation_min)


def _raw(graph: OnnxGraph, real: str, scale: NDArray[np.float32], lowest: int | None) -> str:
    steps = graph.node("Round", graph.node("Div", real, scale.reshape(-1, 1, 1)))
    return graph.cast(steps if lowest is None else graph.node("Max", steps, np.float32(lowest)), np.int32)


def _pair(graph: OnnxGraph, op: Add | Mul, program: IntProgram, a: str, b: str) -> str:
    terms = [_dequantize(graph, x, program.values[name]) for x, name in zip((a, b), op.inputs, strict=True)]
    return _quantize(graph, graph.node(PAIRS[type(op)], *terms), program.values[op.output], op.requantize)


def _rescale(graph: OnnxGraph, op: Rescale, program: IntProgram, x: str) -> str:
    """Append a convolution by 1: ONNX Runtime merges a bare DequantizeLinear and QuantizeLinear with its neighbours."""
    x_type = program.values[op.inputs[0]]
    if is_convolution(op, x_type):
        return _weighted(graph, op, program, x)
    return _quantize(graph, _dequantize(graph, x, x_type), program.values[op.output], op.requantize)


def _bilinear(graph: OnnxGraph, op: ResizeBilinear2x, program: IntProgram, x: str) -> str:
    kind = program.values[op.inputs[0]]
    doubled = _in_real(graph, lambda real: nearest_resize(graph, real, 2), kind, x)
    return _weighted(graph, op, program, _in_real(graph, partial(edge_pad, graph), kind, doubled))


def _lut(graph: OnnxGraph, op: Lut, program: IntProgram, x: str) -> str:
    """Append a Gather between the integers themselves: its entries are exact, and no kernel can round them anew."""
    dtype = program.values[op.output].dtype
    return lookup(graph, op, x, dtype, STORAGE[dtype])


PAIRS: dict[type[Operator], str] = {Add: "Add", Sub: "Sub", Mul: "Mul"}

RULES: dict[type[Operator], Callable[..., str]] = {
    Conv2d: _weighted,
    Linear: _weighted,
    **dict.fromkeys(PAIRS, _pair),
    ResizeBilinear2x: _bilinear,
    Rescale: _rescale,
    Lut: _lut,
    **dict.fromkeys(MOVES, _moved),
}
"""(graph, op, program, *input tensors) → output tensor; one row per operator."""
