"""What stands between the ports of a program and the tensors that operators read and write."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from onnx import helper

from hatlite.export.onnx_graph import OnnxGraph
from hatlite.ops.integer.engine_rules import zero_point
from hatlite.program import Port

__all__ = ["INTEGER_ENDS", "REAL_ENDS", "Ends"]

Pair = tuple[int, int]


class Ends(NamedTuple):
    """The two ends of a form.

    Attributes:
        enter: (graph, port, type that carries it, its limits, real) → tensor that operators read.
        leave: (graph, port, tensor, its limits, real) appends the output of the graph.
    """

    enter: Callable[[OnnxGraph, Port, type[np.generic], Pair, bool], str]
    leave: Callable[[OnnxGraph, Port, str, Pair, bool], None]


def _enter_integers(graph: OnnxGraph, port: Port, storage: type[np.generic], limits: Pair, real: bool) -> str:
    zero = zero_point(port.dtype)
    if real:
        steps = graph.node("Div", graph.cast(port.name, np.float64), np.float64(port.scale))
        whole = graph.node("Floor", graph.node("Add", steps, np.float64(0.5)))
        q = graph.node("Clip", whole, *(np.float64(limit) for limit in limits))
        return graph.cast(graph.node("Add", q, np.float64(zero)) if zero else q, storage)
    if zero:
        return graph.cast(graph.node("Add", graph.cast(port.name, np.int32), np.int32(zero)), storage)
    return port.name if np.dtype(storage) == port.dtype else graph.cast(port.name, storage)


def _leave_integers(graph: OnnxGraph, port: Port, tensor: str, limits: Pair, real: bool) -> None:
    number, zero = np.float32 if real else np.int32, zero_point(port.dtype)
    q = graph.cast(tensor, number)
    q = graph.node("Sub", q, number(zero)) if zero else q
    if real:
        graph.node("Mul", q, _scale(port), into=port.name)
    else:
        graph.node("Cast", q, to=helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype)), into=port.name)


def _enter_reals(graph: OnnxGraph, port: Port, storage: type[np.generic], limits: Pair, real: bool) -> str:
    return port.name if real else graph.node("Mul", graph.cast(port.name, np.float32), _scale(port))


def _leave_reals(graph: OnnxGraph, port: Port, tensor: str, limits: Pair, real: bool) -> None:
    if real:
        graph.node("Identity", tensor, into=port.name)
        return
    steps = graph.node("Floor", graph.node("Add", graph.node("Div", tensor, _scale(port)), np.float32(0.5)))
    q = steps if port.dtype == "int32" else graph.node("Clip", steps, *map(np.float32, limits))
    graph.node("Cast", q, to=helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype)), into=port.name)


def _scale(port: Port) -> np.ndarray:
    scale = np.asarray(port.scale, np.float32)
    return scale.reshape(-1, 1, 1) if scale.ndim else scale


INTEGER_ENDS = Ends(_enter_integers, _leave_integers)
"""Operators exchange integers; real inputs are rounded in float64, real outputs are float32(q) · float32(scale)."""

REAL_ENDS = Ends(_enter_reals, _leave_reals)
"""Operators exchange real numbers; integer outputs are the nearest ones, halves up."""
