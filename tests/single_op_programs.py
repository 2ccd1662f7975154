"""Programs of one operator, for the compiler's tests."""

from typing import Any

import numpy as np

from hatlite.march import get_march
from hatlite.program import (
    Add,
    Concat,
    Conv2d,
    DepthToSpace,
    IntProgram,
    Lut,
    MaxPool2d,
    Mul,
    Operator,
    Pad,
    Port,
    Requantize,
    Rescale,
    ResizeBilinear2x,
    ResizeNearest,
    Slice,
    Source,
    Sub,
    TensorType,
    Weight,
)

MARCH = get_march("bayes-sim")  # 1.25 GHz, array (8, 16, 32), 256 lanes, 16 GB/s: 12.8 bytes a cycle; overhead 512
SOURCE = Source("head.cls", "fcos_head.py:31")


def requantize(channels: int = 1) -> Requantize:
    return Requantize(np.full(channels, 16385), np.full(channels, 20), -128, 127)


def conv(channels_in: int = 16, channels_out: int = 32, kernel: int = 3, groups: int = 1, **more: Any) -> Conv2d:
    weight = Weight(np.ones((channels_out, kernel, kernel, channels_in // groups), np.int8))
    bias = np.zeros(channels_out, np.int32)
    more = {"padding": (kernel // 2, kernel // 2), "requantize": requantize(channels_out), **more}
    return Conv2d(name="c", inputs=("x",), output="y", source=SOURCE, weight=weight, bias=bias, groups=groups, **more)


def program(op: Operator, into: tuple[int, int, int], out: tuple[int, int, int], dtype: str = "int8") -> IntProgram:
    values = {name: TensorType(into, dtype, 0.5) for name in op.inputs}
    values[op.output] = TensorType(out, "int8", 0.5)
    inputs = tuple(Port(name, name, dtype, 0.5) for name in op.inputs)
    return IntProgram("net", "bayes-sim", inputs, (Port("out", op.output, "int8", 0.5),), (op,), values)


VECTOR_OPS = [
    (Add(name="a", inputs=("x", "z"), output="y", multipliers=(600000, 700000), requantize=requantize()), (8, 8, 4), 2),
    (MaxPool2d(name="m", inputs=("x",), output="y", kernel=(3, 3), stride=(2, 2), padding=(1, 1)), (4, 4, 16), 9),
    (ResizeNearest(name="n", inputs=("x",), output="y", factor=2), (16, 16, 1), 1),
    (ResizeBilinear2x(name="b", inputs=("x",), output="y", requantize=requantize()), (16, 16, 1), 9),
    (Sub(name="s", inputs=("x", "z"), output="y", multipliers=(600000, 700000), requantize=requantize()), (8, 8, 4), 2),
    (Mul(name="p", inputs=("x", "z"), output="y", requantize=requantize()), (8, 8, 4), 2),
    (Lut(name="l", inputs=("x",), output="y", table=np.arange(256) - 128), (8, 8, 4), 1),
    (Pad(name="d", inputs=("x",), output="y", edges=(0, 8, 0, 0)), (16, 8, 2), 1),
    (Slice(name="t", inputs=("x",), output="y", start=(0, 1, 0), stop=(8, 8, 4), step=(1, 2, 1)), (8, 4, 4), 1),
    (DepthToSpace(name="k", inputs=("x",), output="y", block=(2, 2)), (16, 16, 1), 1),
    (Concat(name="j", inputs=("x", "z"), output="y"), (8, 4, 8), 1),
    (Rescale(name="r", inputs=("x",), output="y", requantize=requantize()), (8, 8, 4), 1),
]
"""(operator on (8, 8, 4), its output shape, cycles of the vector unit for 256 output values)"""
