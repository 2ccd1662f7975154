"""A program as text, one line per operator."""

from collections.abc import Iterator

import numpy as np

from hatlite.program.ops import Add, Conv2d, DepthToSpace, Linear, MaxPool2d, Operator, Pad, ResizeNearest, Slice
from hatlite.program.program import IntProgram, Port, Scale, TensorType

__all__ = ["format_program"]


def format_program(program: IntProgram) -> str:
    """Return a listing such as ``%4 = conv2d %3 3x3 /2 p1 [40,40,96] uint8 s=0.0235  # backbone.stem net.py:31``.

    Values are numbered in the order of their definition: inputs first, then the output of each operator.
    """
    return "\n".join(_lines(program)) + "\n"


def _lines(program: IntProgram) -> Iterator[str]:
    names = [port.value for port in program.inputs] + [op.output for op in program.ops]
    numbers = {name: f"%{number}" for number, name in enumerate(names)}
    yield f"program {program.name} for {program.march}: {len(program.ops)} operators"
    for port in program.inputs:
        yield f"  {numbers[port.value]} = input {port.name!r} {_type(program.values[port.value])}"
    for op in program.ops:
        operands = " ".join(numbers[name] for name in op.inputs)
        words = [f"  {numbers[op.output]} =", op.kind, operands, _window(op), _type(program.values[op.output])]
        yield " ".join(filter(None, words)) + f"  # {op.source}"
    for port in program.outputs:
        yield f"  return {numbers[port.value]} as {port.name!r} {_port(port)}"


def _port(port: Port) -> str:
    return f"{port.dtype} {_scale(port.scale)} stride={port.stride}"


def _type(value: TensorType) -> str:
    return f"[{','.join(map(str, value.shape))}] {value.dtype} {_scale(value.scale)}"


def _scale(scale: Scale) -> str:
    if np.ndim(scale) == 0:
        return f"s={float(scale):.6g}"
    return f"s={np.min(scale):.6g}…{np.max(scale):.6g} per channel"


def _window(op: Operator) -> str:
    """The parameters that tell two operators of a kind apart, leaving out what is usual."""
    if isinstance(op, (Conv2d, Linear, MaxPool2d)):
        relu = (
            isinstance(op, (Conv2d, Linear)) and (op.requantize.quant_min if op.requantize else op.activation_min) == 0
        )
        wide = isinstance(op, (Conv2d, Linear)) and op.weight.dtype == "int16"
        words = [*_geometry(op), "w=int16" if wide else "", "relu" if relu else ""]
        return " ".join(filter(None, words))
    if isinstance(op, ResizeNearest):
        return f"x{op.factor}"
    if isinstance(op, Pad):
        return "x".join(map(str, op.edges))
    if isinstance(op, Slice):
        return "[" + ",".join(_range(*ends) for ends in zip(op.start, op.stop, op.step, strict=True)) + "]"
    if isinstance(op, DepthToSpace):
        return "x".join(map(str, op.block))
    return f"Ma={op.multipliers[0]} Mb={op.multipliers[1]}" if isinstance(op, Add) else ""


def _range(start: int, stop: int, step: int) -> str:
    return f"{start}:{stop}" + (f":{step}" if step != 1 else "")


def _geometry(op: Conv2d | Linear | MaxPool2d) -> list[str]:
    if isinstance(op, Linear):
        return []
    kernel = op.kernel if isinstance(op, MaxPool2d) else op.weight.values.shape[1:3]
    words = ["x".join(map(str, kernel))]
    for mark, field, usual in (("/", "stride", 1), ("p", "padding", 0), ("d", "dilation", 1)):
        pair = getattr(op, field, (usual, usual))
        if pair != (usual, usual):
            words.append(mark + (str(pair[0]) if pair[0] == pair[1] else "x".join(map(str, pair))))
    if (groups := getattr(op, "groups", 1)) > 1:
        words.append(f"g{groups}")
    return words
