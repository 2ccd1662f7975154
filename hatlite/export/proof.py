"""What ONNX Runtime's QLinearConv may compute: the same bits as the program, proven per channel.

QLinearConv rounds by the rule ``float32`` of :mod:`hatlite.ops.integer.engine_rules` with m = fp32(fp32(Sx · Sw) / Sy).
Its accumulator is an int32, so the proof covers the exact range of each channel, also beyond 2^24. Legend: O channels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.ops.integer.certificate import agrees
from hatlite.ops.integer.engine_rules import BYTES, CONV_RULES, Channels
from hatlite.ops.integer.fixed_point import requantize
from hatlite.ops.integer.reference import BILINEAR_KERNEL
from hatlite.ops.integer.snap import nearest_weight_scale
from hatlite.program import (
    Concat,
    Conv2d,
    DepthToSpace,
    IntProgram,
    Linear,
    Lut,
    MaxPool2d,
    Operator,
    Pad,
    Requantize,
    Rescale,
    ResizeBilinear2x,
    ResizeNearest,
    Slice,
    TensorType,
)
from hatlite.program.bounds import accumulator_range

__all__ = [
    "Convolution",
    "Scales",
    "as_convolution",
    "certified",
    "exact_outputs",
    "golden_scales",
    "is_convolution",
    "shared_scales",
]

MOVING = (MaxPool2d, ResizeNearest, Concat, Pad, Slice, DepthToSpace)
(QLINEAR_CONV,) = (rule for rule in CONV_RULES if rule.name == "float32")


@dataclass(frozen=True, eq=False)
class Convolution:
    """A conv, a linear layer, the filter of a bilinear resize or a rescale of bytes, as ONNX sees it.

    Attributes:
        weight: (O, I / groups, kh, kw) int8 or int16.
        bias: (O,) int32.
        requantize: None for a raw accumulator.
        scale: (O,) float64 weight scales, where the program has them.
        activation_min: Lower clamp of a raw accumulator.
        window: Attributes of an ONNX convolution.
    """

    weight: NDArray[np.int8] | NDArray[np.int16]
    bias: NDArray[np.int32]
    requantize: Requantize | None
    scale: NDArray[np.float64] | None = None
    activation_min: int | None = None
    window: Mapping[str, Any] = field(default_factory=dict)

    def rounding(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return M and s, (O,) each."""
        assert self.requantize is not None
        shape = (len(self.bias),)
        return np.broadcast_to(self.requantize.multiplier, shape), np.broadcast_to(self.requantize.shift, shape)

    def reach(self, x: TensorType) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the smallest and the largest accumulator for inputs of type `x`, (O,) each."""
        return accumulator_range(self.weight, self.bias, x.limits)


@dataclass(frozen=True)
class Scales:
    """Scales of one QLinearConv, or of the quantised tensors around one convolution.

    Attributes:
        x: Of the input, a float32 value.
        weight: (O,) float32.
        y: Of the output.
    """

    x: np.float32
    weight: NDArray[np.float32]
    y: np.float32


def is_convolution(op: Operator, x: TensorType) -> bool:
    """Return whether ONNX sees `op`, which reads a value of type `x`, as a convolution."""
    return isinstance(op, (Conv2d, Linear, ResizeBilinear2x)) or (isinstance(op, Rescale) and x.dtype in BYTES)


def as_convolution(op: Operator, x: TensorType) -> Convolution:
    """Return the convolution in `op`, which reads a value of type `x`; in a rescale it is a depthwise 1."""
    if isinstance(op, (ResizeBilinear2x, Rescale)):
        channels = x.shape[2]
        kernel = BILINEAR_KERNEL if isinstance(op, ResizeBilinear2x) else np.ones((1, 1))
        weight = np.broadcast_to(kernel.astype(np.int8), (channels, 1, *kernel.shape))
        return Convolution(weight, np.zeros(channels, np.int32), op.requantize, window={"group": channels})
    assert isinstance(op, (Conv2d, Linear))
    weight = np.ascontiguousarray(op.weight.values.transpose(0, 3, 1, 2))
    window: dict[str, Any] = {}
    if isinstance(op, Conv2d):
        window = {"strides": op.stride, "pads": op.padding * 2, "dilations": op.dilation, "group": op.groups}
    return Convolution(weight, op.bias, op.requantize, op.weight.scale, op.activation_min, window)


def certified(conv: Convolution, x: TensorType, y: TensorType) -> bool:
    """Return whether QLinearConv rounds every accumulator that `conv` can reach as the program does."""
    if conv.requantize is None or any(dtype not in BYTES for dtype in (x.dtype, str(conv.weight.dtype), y.dtype)):
        return False
    clamp = (conv.requantize.quant_min, conv.requantize.quant_max)
    multiplier, shift, low, high = (*conv.rounding(), *conv.reach(x))
    several = low < high
    ranges = {"low": low[several], "high": high[several]}
    if not agrees(QLINEAR_CONV, multiplier[several], shift[several], clamp, **ranges).all():
        return False
    one = ~several
    return not one.any() or _agrees_at(low[one], multiplier[one], shift[one], clamp)


def _agrees_at(
    acc: NDArray[np.int64], multiplier: NDArray[np.int64], shift: NDArray[np.int64], clamp: tuple[int, int]
) -> bool:
    """The proof for channels without weights, which reach one accumulator; a probe of thresholds has millions."""
    column = acc.reshape(-1, 1)
    channels = Channels(_exact_ratio(multiplier, shift).reshape(-1, 1), column, signed=clamp[0] < 0)
    rounded = np.clip(QLINEAR_CONV.round(column, channels)[:, 0], *clamp)
    return bool((rounded == requantize(acc, multiplier, shift, *clamp)).all())


def _exact_ratio(multiplier: NDArray[np.int64], shift: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return M · 2^−s, which float32 holds exactly."""
    return np.ldexp(multiplier.astype(np.float64), -shift).astype(np.float32)


def shared_scales(conv: Convolution, x: TensorType, y: TensorType) -> tuple[Scales, bool]:
    """Return the program's own scales and whether fp32(fp32(Sx · Sw) / Sy) is M · 2^−s in every channel.

    Where the stored Sw do not make M · 2^−s, the nearest float32 values that do take their place.
    """
    multiplier, shift = conv.rounding()
    scale_x, scale_y = np.float32(x.scale), np.float32(y.scale)
    wanted = _exact_ratio(multiplier, shift)
    if conv.scale is not None:
        stored = conv.scale.astype(np.float32)
        if np.array_equal(stored * scale_x / scale_y, wanted):
            return Scales(scale_x, stored, scale_y), True
    nearest, found = nearest_weight_scale(multiplier, shift, float(scale_x), float(scale_y))
    return Scales(scale_x, nearest.astype(np.float32), scale_y), bool(found.all())


def golden_scales(conv: Convolution, x: TensorType, y: TensorType) -> Scales | None:
    """Return the scales for a QLinearConv of its own, None where the certificate refuses.

    Only the ratio counts there: if the program's own scales do not make it, Sx = Sy = 1 and Sw = M · 2^−s do.
    """
    if not certified(conv, x, y):
        return None
    scales, exact = shared_scales(conv, x, y)
    if exact:
        return scales
    one = np.float32(1)
    return Scales(one, _exact_ratio(*conv.rounding()), one)


def exact_outputs(program: IntProgram, form: str) -> frozenset[str]:
    """Return the names of the outputs that ONNX Runtime computes to the last bit: in the form ``golden`` all of them.

    In the form ``qdq`` an output counts when every operator behind it moves values, is a table (a Gather of integers),
    or is a certified convolution whose scales make M · 2^−s, because ONNX Runtime turns those into QLinearConv with its
    default options. In the form ``clip`` it counts when every operator behind it moves values.
    """
    if form == "golden":
        return frozenset(port.name for port in program.outputs)
    exact = {port.value for port in program.inputs}
    for op in program.ops:
        held = isinstance(op, MOVING) if form == "clip" else _exact_in_qdq(op, program)
        if set(op.inputs) <= exact and held:
            exact.add(op.output)
    return frozenset(port.name for port in program.outputs if port.value in exact)


def _exact_in_qdq(op: Operator, program: IntProgram) -> bool:
    if isinstance(op, (*MOVING, Lut)):
        return True
    x, y = program.values[op.inputs[0]], program.values[op.output]
    if not is_convolution(op, x):
        return False
    conv = as_convolution(op, x)
    return certified(conv, x, y) and shared_scales(conv, x, y)[1]
