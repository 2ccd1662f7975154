"""The float form with limits: real operators on weights that lie on their grid, and a Clip at each range.

It is the file that TI's toolkit makes of a network trained with power-of-two ranges: a runtime that quantises by itself
finds in it which integers every weight is, and in each Clip the range, hence the scale, of every result. Between the
Clips nothing is rounded, so in ONNX Runtime it is the float network with quantised weights. Nothing but what only moves
values is promised to be equal.
"""

from collections.abc import Callable

import numpy as np

from hatlite.errors import ProgramError
from hatlite.export.ends import REAL_ENDS
from hatlite.export.moves import MOVES
from hatlite.export.onnx_graph import OnnxGraph
from hatlite.export.proof import as_convolution
from hatlite.march import get_march
from hatlite.program import (
    Add,
    Conv2d,
    IntProgram,
    Linear,
    Mul,
    Operator,
    Requantize,
    Rescale,
    ResizeBilinear2x,
    Sub,
    TensorType,
)

__all__ = ["ENDS", "OPSET", "RULES", "STORAGE", "check"]

OPSET = 18
ENDS = REAL_ENDS
STORAGE: dict[str, type[np.generic]] = dict.fromkeys(("int8", "uint8", "int16", "int32"), np.float32)


def check(program: IntProgram) -> None:
    """Refuse a program whose ranges are no powers of two.

    Raises:
        ProgramError: The arithmetic of its march is another one.
    """
    if not get_march(program.march).arithmetic.powers_of_two:
        raise ProgramError(
            f"{program.name}: the form 'clip' says scales by ranges that are powers of two, and the march"
            f" {program.march!r} has other ones; take the form 'qdq'."
        )


def _clip(graph: OnnxGraph, real: str, kind: TensorType, rule: Requantize) -> str:
    """Append the range: its upper end is a power of two, one step beyond the largest integer."""
    limits = (rule.quant_min, rule.quant_max + 1)
    return graph.node("Clip", real, *(np.float32(limit * kind.scale) for limit in limits))


def _weighted(graph: OnnxGraph, op: Conv2d | Linear, program: IntProgram, x: str) -> str:
    x_type, y_type = program.values[op.inputs[0]], program.values[op.output]
    conv = as_convolution(op, x_type)
    step = conv.scale if conv.scale is not None else _weight_scale(op, x_type, y_type)
    weight = conv.weight * step.reshape(-1, 1, 1, 1)
    bias = conv.bias * step * x_type.scale
    real = graph.node("Conv", x, weight.astype(np.float32), bias.astype(np.float32), **conv.window)
    if op.requantize is not None:
        return _clip(graph, real, y_type, op.requantize)
    return real if op.activation_min is None else graph.node("Max", real, np.float32(0))


def _weight_scale(op: Conv2d | Linear, x: TensorType, y: TensorType) -> np.ndarray:
    """Return the scales that a program without them implies."""
    if op.requantize is None:
        return np.broadcast_to(np.asarray(y.scale) / x.scale, op.bias.shape)
    ratio = np.ldexp(op.requantize.multiplier.astype(np.float64), -op.requantize.shift) * y.scale / x.scale
    return np.broadcast_to(ratio, op.bias.shape)


def _pair(graph: OnnxGraph, op: Add | Mul, program: IntProgram, a: str, b: str) -> str:
    return _clip(graph, graph.node(PAIRS[type(op)], a, b), program.values[op.output], op.requantize)


def _rescale(graph: OnnxGraph, op: Rescale, program: IntProgram, x: str) -> str:
    return _clip(graph, x, program.values[op.output], op.requantize)


def _bilinear(graph: OnnxGraph, op: ResizeBilinear2x, program: IntProgram, x: str) -> str:
    scales = np.array([1, 1, 2, 2], np.float32)
    doubled = graph.node("Resize", x, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")
    return _clip(graph, doubled, program.values[op.output], op.requantize)


def _moved(graph: OnnxGraph, op: Operator, program: IntProgram, *tensors: str) -> str:
    return MOVES[type(op)](graph, op, program, np.float32(0), *tensors)


PAIRS: dict[type[Operator], str] = {Add: "Add", Sub: "Sub", Mul: "Mul"}

RULES: dict[type[Operator], Callable[..., str]] = {
    Conv2d: _weighted,
    Linear: _weighted,
    **dict.fromkeys(PAIRS, _pair),
    ResizeBilinear2x: _bilinear,
    Rescale: _rescale,
    **dict.fromkeys(MOVES, _moved),
}
"""(graph, op, program, *input tensors) → output tensor; a table has lost its function and no row."""
