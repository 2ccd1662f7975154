"""What both forms write alike: operators that move values without changing any, and tables."""

from collections.abc import Callable

import numpy as np

from hatlite.export.onnx_graph import OnnxGraph
from hatlite.ops.integer.engine_rules import zero_point
from hatlite.program import Concat, DepthToSpace, IntProgram, Lut, MaxPool2d, Operator, Pad, ResizeNearest, Slice

__all__ = ["MOVES", "edge_pad", "lookup", "nearest_resize"]


def nearest_resize(graph: OnnxGraph, x: str, factor: int) -> str:
    """Repeat pixels; the pixel under the centre is asked for, far from any rounding."""
    scales = np.array([1, 1, factor, factor], np.float32)
    modes = {"coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_floor"}
    return graph.node("Resize", x, "", scales, mode="nearest", **modes)


def edge_pad(graph: OnnxGraph, x: str) -> str:
    """Repeat the outermost pixels once."""
    return graph.node("Pad", x, np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), mode="edge")


def lookup(graph: OnnxGraph, op: Lut, x: str, dtype: str, storage: type[np.generic]) -> str:
    """Append a Gather; the tensor x counts from 0 on, as the table does.

    Args:
        graph: To append to.
        op: Its table is stored as the tensor of the result carries its values.
        x: A uint8 tensor.
        dtype: Of the result in the program.
        storage: Type of the tensor that carries the result.
    """
    table = (op.table + zero_point(dtype)).astype(storage)
    return graph.node("Gather", table, graph.cast(x, np.int32), axis=0)


def _max_pool(graph: OnnxGraph, op: MaxPool2d, program: IntProgram, zero: np.generic, x: str) -> str:
    return graph.node("MaxPool", x, kernel_shape=op.kernel, strides=op.stride, pads=op.padding * 2)


def _nearest(graph: OnnxGraph, op: ResizeNearest, program: IntProgram, zero: np.generic, x: str) -> str:
    return nearest_resize(graph, x, op.factor)


def _concat(graph: OnnxGraph, op: Concat, program: IntProgram, zero: np.generic, *parts: str) -> str:
    return graph.node("Concat", *parts, axis=1)


def _pad(graph: OnnxGraph, op: Pad, program: IntProgram, zero: np.generic, x: str) -> str:
    """Append a Pad that names its axes, and all of them.

    Without axes ONNX Runtime merges zeros into a MaxPool behind them, where padding never wins. It takes two axes for
    four when it lays convolutions around the Pad out with channels last.
    """
    top, bottom, left, right = op.edges
    edges, axes = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64), np.arange(4, dtype=np.int64)
    return graph.node("Pad", x, edges, zero, axes, mode="constant")


def _slice(graph: OnnxGraph, op: Slice, program: IntProgram, zero: np.generic, x: str) -> str:
    start, stop, step = (np.array([c, h, w], np.int64) for h, w, c in (op.start, op.stop, op.step))
    return graph.node("Slice", x, start, stop, np.array([1, 2, 3], np.int64), step)


def _depth_to_space(graph: OnnxGraph, op: DepthToSpace, program: IntProgram, zero: np.generic, x: str) -> str:
    """Make pixels of channels; ONNX's own DepthToSpace knows square blocks alone, and runtimes few types for it."""
    height, width, channels = program.values[op.output].shape
    rows, columns = op.block
    split = np.array([0, channels, rows, columns, height // rows, width // columns], np.int64)  # 0 keeps the batch
    blocks = graph.node("Transpose", graph.node("Reshape", x, split), perm=[0, 1, 4, 2, 5, 3])
    return graph.node("Reshape", blocks, np.array([0, channels, height, width], np.int64))


MOVES: dict[type[Operator], Callable[..., str]] = {
    MaxPool2d: _max_pool,
    ResizeNearest: _nearest,
    Concat: _concat,
    Pad: _pad,
    Slice: _slice,
    DepthToSpace: _depth_to_space,
}
"""(graph, op, program, what stands for 0, *input tensors) → output tensor, on integers or on real numbers."""
