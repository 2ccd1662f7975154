"""The oneDNN engine: int8 convolutions of the CPU's vector units, requantised inside where that is proven.

8-bit values are uint8 tensors (N, C, H, W) in channels_last memory, signed ones with the zero point 128. For each
operator the fastest kernel is taken that gives the defined integers: a fused one where the certificate of its rounding
rule holds for every channel on all accumulators that its weights can reach; else int8 products with the exact
accumulator as float32 result, rounded by the float32 engine; else that engine alone. :attr:`Engine.kernels` says which.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from hatlite.executor.kernels import float32
from hatlite.executor.kernels.partial_sums import BYTES_OF, Part, combine, parts_of
from hatlite.executor.kernels.stepwise import Stepwise
from hatlite.ops.exact import exact_float32
from hatlite.ops.integer.certificate import agrees
from hatlite.ops.integer.engine_rules import BYTES, CONV_RULES, FLOAT32_EXACT, ZERO_POINT, zero_point
from hatlite.ops.integer.fixed_point import half_of
from hatlite.ops.integer.reference import BILINEAR_KERNEL
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
from hatlite.program.bounds import accumulator_peak, accumulator_range

__all__ = ["Engine", "pointwise_add"]

Kernel = Callable[..., torch.Tensor]
NHWC = torch.channels_last
RULE = next(rule for rule in CONV_RULES if rule.name == "onednn")
LITTLE = int(sys.byteorder == "little")
POINTWISE_FROM = 128
"""Output channels from which on a 1×1 convolution of int16 inputs is faster in two int8 parts (benchmarks/int16.py)."""
POINTWISE = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1]}


class _Convolution:
    """One prepacked convolution with x_scale 1; the weight scales carry the multipliers.

    Args:
        values: (O, I / groups, h, w) int8 weights.
        scale: (O,) float32 factor of the accumulator.
        bias: (O,) float32 that is added behind the factor, or None.
        x: dtype and (H, W, C) of the input.
        out: dtype of the result; None leaves the float32 accumulator.
        window: stride, padding, dilation, as lists.
        groups: Of the convolution.
    """

    def __init__(self, values: Any, scale: Any, bias: Any, x: Any, out: str | None, window: dict, groups: int) -> None:
        self.zero_in, self.zero_out = zero_point(x.dtype), zero_point(out) if out else 0
        self.scale = torch.from_numpy(np.array(scale, dtype=np.float32))
        self.bias = None if bias is None else torch.from_numpy(np.array(bias, dtype=np.float32))
        self.zeros = torch.zeros(len(values), dtype=torch.int32)
        self.geometry = (*(list(window[name]) for name in ("stride", "padding", "dilation")), groups)
        self.dtype = torch.uint8 if out else torch.float32
        height, width, channels = x.shape
        weight = torch.from_numpy(np.array(values, order="C"))
        self.weight = torch.ops.onednn.qconv_prepack(
            weight, self.scale, 1.0, self.zero_in, *self.geometry, [1, channels, height, width]
        )

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.onednn.qconv2d_pointwise(
            x, 1.0, self.zero_in, self.weight, self.scale, self.zeros, self.bias, *self.geometry,
            1.0, self.zero_out, self.dtype, "none", [], "",
        )  # fmt: skip

    def plus(self, x: torch.Tensor, other: torch.Tensor, scale: float, zero: int) -> torch.Tensor:
        """Return this convolution of `x` plus `scale` · (`other` − `zero`); `other` is overwritten."""
        return torch.ops.onednn.qconv2d_pointwise.binary(
            x, 1.0, self.zero_in, self.weight, self.scale, self.zeros, other, self.bias, *self.geometry,
            1.0, self.zero_out, self.dtype, scale, zero, "sum", 1.0, "none", [], "",
        )  # fmt: skip


def _factor(rule: Requantize) -> NDArray[np.float64]:
    return np.ldexp(rule.multiplier.astype(np.float64), -rule.shift)


def _is_proven(op: Any, limits: tuple[int, int], bias: NDArray[np.int64]) -> bool:
    """Return whether the fused rule gives the defined result for every input of every channel."""
    rule = op.requantize
    low, high = accumulator_range(op.weight.values, op.bias, limits)
    clamp = (rule.quant_min, rule.quant_max)
    multiplier, shift = (np.broadcast_to(values, low.shape) for values in (rule.multiplier, rule.shift))
    return bool(agrees(RULE, multiplier, shift, clamp, low=low, high=high, bias=bias).all())


def _fills_its_type(rule: Requantize, dtype: str) -> bool:
    """The kernel saturates at the ends of uint8, which are the type's; a narrower clamp is the float engine's."""
    return (rule.quant_min, rule.quant_max) == ((-128, 127) if dtype == "int8" else (0, 255))


def _convolution(op: Conv2d | Linear, program: IntProgram) -> tuple[str, Kernel] | None:
    x, out = program.values[op.inputs[0]], program.values[op.output].dtype
    if op.weight.dtype not in BYTES:
        return None
    if x.dtype not in BYTES:
        return _partial_products(op, program)
    values = op.weight.values.transpose(0, 3, 1, 2)
    bias = op.bias.astype(np.int64)
    window = {name: getattr(op, name, pair) for name, pair in POINTWISE.items()}
    shape = (x, window, getattr(op, "groups", 1))
    rule = op.requantize
    if out in BYTES and rule is not None and _fills_its_type(rule, out) and _is_proven(op, x.limits, bias):
        m = np.broadcast_to(_factor(rule), bias.shape)
        return "fused", _Convolution(values, m, bias * m, shape[0], out, *shape[1:])
    # sums are taken in int32; only their last value becomes a float
    low, high = accumulator_range(op.weight.values, op.bias, x.limits)
    peak = int(max(-low.min(), high.max(), (high - bias).max(), (bias - low).max()))
    if peak >= FLOAT32_EXACT:
        return _partial_products(op, program)
    products = _Convolution(values, np.ones(len(bias)), bias, shape[0], None, *shape[1:])
    finish = float32.finisher(rule, op.activation_min, peak)
    return "int8 products", lambda acc: _to_bytes(finish(products(acc)), out)


def _partial_products(op: Conv2d | Linear, program: IntProgram) -> tuple[str, Kernel] | None:
    """The sum of several int8 convolutions: of the bytes of an int16 input, of groups of channels, or of both."""
    x, out = program.values[op.inputs[0]], program.values[op.output].dtype
    parts = parts_of(op, x.dtype, pointwise_from=POINTWISE_FROM)
    if parts is None:
        return None
    window = {name: getattr(op, name, pair) for name, pair in POINTWISE.items()}
    products = [_part(part, x, window, getattr(op, "groups", 1)) for part in parts]
    finish = float32.finisher(op.requantize, op.activation_min, int(accumulator_peak(op, x.limits).max()))

    def apply(q: torch.Tensor) -> torch.Tensor:
        read = _bytes_of(q) if x.dtype in BYTES_OF else {x.dtype: q}
        inputs = (read[part.dtype][:, part.channels].contiguous(memory_format=NHWC) for part in parts)
        return _to_bytes(finish(combine([take(q) for take, q in zip(products, inputs, strict=True)])), out)

    return "int8 products", apply


def _part(part: Part, x: Any, window: dict, groups: int) -> _Convolution:
    channels = len(range(*part.channels.indices(x.shape[2])))
    read = type(x)(shape=(*x.shape[:2], channels), dtype=part.dtype, scale=1.0)
    values = part.weight.transpose(0, 3, 1, 2)
    return _Convolution(values, np.full(len(values), part.factor), part.bias, read, None, window, groups)


def _bytes_of(x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the high bytes of 16-bit values, signed with the zero point 128, and the low ones."""
    two = x.permute(0, 2, 3, 1).to(torch.int16).unsqueeze(-1).view(torch.uint8)
    high, low = two[..., LITTLE], two[..., 1 - LITTLE]  # as the machine orders them
    return {"int8": (high ^ ZERO_POINT).permute(0, 3, 1, 2), "uint8": low.contiguous().permute(0, 3, 1, 2)}


def _rescale(op: Rescale, program: IntProgram) -> tuple[str, Kernel] | None:
    x, out = program.values[op.inputs[0]], program.values[op.output].dtype
    channels = x.shape[2]
    if x.dtype not in BYTES or out not in BYTES or not _fills_its_type(op.requantize, out):
        return None
    clamp = (op.requantize.quant_min, op.requantize.quant_max)
    if not agrees(RULE, op.requantize.multiplier, op.requantize.shift, clamp, low=-255, high=255).all():
        return None
    m = np.broadcast_to(_factor(op.requantize), channels)
    return "fused", _Convolution(np.ones((channels, 1, 1, 1), np.int8), m, None, x, out, POINTWISE, channels)


def _resize_bilinear2x(op: ResizeBilinear2x, program: IntProgram) -> tuple[str, Kernel] | None:
    x, out = program.values[op.inputs[0]], program.values[op.output].dtype
    rule = op.requantize
    if x.dtype not in BYTES or out not in BYTES or not _fills_its_type(rule, out):
        return None
    peak = 255 * int(BILINEAR_KERNEL.sum())
    if not agrees(RULE, rule.multiplier, rule.shift, (rule.quant_min, rule.quant_max), low=-peak, high=peak).all():
        return None
    height, width, channels = x.shape
    kernel = np.broadcast_to(BILINEAR_KERNEL.astype(np.int8), (channels, 1, 3, 3))
    padded = type(x)(shape=(2 * height + 2, 2 * width + 2, channels), dtype=x.dtype, scale=1.0)
    smooth = _Convolution(kernel, np.broadcast_to(_factor(rule), channels), None, padded, out, POINTWISE, channels)
    rows, columns = (torch.arange(-1, 2 * side + 1).clamp_(0, 2 * side - 1) // 2 for side in (height, width))
    return "fused", lambda x: smooth(x.index_select(2, rows).index_select(3, columns))  # doubled, edges repeated


def pointwise_add(x: Any, other: Any, out: str, multipliers: tuple[int, int], shift: int) -> Kernel:
    """Return a depthwise 1×1 convolution of the first value onto which the second one is summed.

    Args:
        x: dtype and (H, W, C) of the first value.
        other: The same of the second one.
        out: dtype of the result.
        multipliers: (Ma, Mb).
        shift: s.
    """
    first, second = (float(np.ldexp(float(m), -shift)) for m in multipliers)
    channels = x.shape[2]
    ones = np.ones((channels, 1, 1, 1), np.int8)
    identity = _Convolution(ones, np.full(channels, first), None, x, out, POINTWISE, channels)
    zero = zero_point(other.dtype)
    return lambda a, b, *, overwrite=False: identity.plus(a, b if overwrite else b.clone(), second, zero)


def _add(op: Add, program: IntProgram) -> tuple[str, Kernel] | None:
    a, b = (program.values[name] for name in op.inputs)
    out = program.values[op.output].dtype
    if any(dtype not in BYTES for dtype in (a.dtype, b.dtype, out)) or not _fills_its_type(op.requantize, out):
        return None
    kernel = pointwise_add(a, b, out, op.multipliers, int(op.requantize.shift[0]))
    return ("fused", kernel) if _all_pairs_agree(op, (a, b, out)) else None


def _all_pairs_agree(op: Add, types: tuple) -> bool:
    """Enumerate: every pair of inputs goes through the kernel itself, as one image of 256 × 256."""
    a, b, out = types
    pair = [type(side)(shape=(256, 256, 1), dtype=side.dtype, scale=1.0) for side in (a, b)]
    kernel = pointwise_add(*pair, out, op.multipliers, int(op.requantize.shift[0]))
    grid = torch.arange(256, dtype=torch.uint8)
    first, second = (side.reshape(1, 1, 256, 256) for side in torch.meshgrid(grid, grid, indexing="ij"))
    got = kernel(*(side.contiguous(memory_format=NHWC) for side in (first, second))).long() - zero_point(out)
    values = [side.long() - zero_point(kind.dtype) for side, kind in zip((first, second), (a, b), strict=True)]
    shift = int(op.requantize.shift[0])
    total = values[0] * op.multipliers[0] + values[1] * op.multipliers[1] + int(half_of(shift))
    return bool(((total >> shift).clamp(op.requantize.quant_min, op.requantize.quant_max) == got).all())


def _max_pool(op: MaxPool2d, program: IntProgram) -> tuple[str, Kernel] | None:
    if program.values[op.inputs[0]].dtype not in BYTES:
        return None
    (kernel_y, kernel_x), (stride_y, stride_x), (pad_y, pad_x) = op.kernel, op.stride, op.padding

    def apply(x: torch.Tensor) -> torch.Tensor:
        x = F.pad(x, (pad_x, pad_x, pad_y, pad_y))  # 0 is the lowest value of both types
        rows = _slices_maximum(x, 2, kernel_y, stride_y)
        return _slices_maximum(rows, 3, kernel_x, stride_x).contiguous(memory_format=NHWC)

    return "bytes", apply


def _slices_maximum(x: torch.Tensor, axis: int, kernel: int, stride: int) -> torch.Tensor:
    count = (x.shape[axis] - kernel) // stride + 1
    index: list[Any] = [slice(None)] * 4
    best: torch.Tensor | None = None
    for offset in range(kernel):
        index[axis] = slice(offset, offset + stride * (count - 1) + 1, stride)
        best = x[tuple(index)] if best is None else torch.maximum(best, x[tuple(index)])
    assert best is not None
    return best


def _resize_nearest(op: ResizeNearest, program: IntProgram) -> tuple[str, Kernel] | None:
    if program.values[op.inputs[0]].dtype not in BYTES:
        return None
    return "bytes", lambda x: F.interpolate(x, scale_factor=op.factor, mode="nearest-exact")


def _moving(op: Operator, program: IntProgram) -> tuple[str, Kernel] | None:
    """What only chooses or moves values does so with bytes as with floats."""
    if program.values[op.inputs[0]].dtype not in BYTES:
        return None
    return "bytes", float32.KERNELS[type(op)](op, program)


KERNELS: dict[type[Operator], Callable[..., tuple[str, Kernel] | None]] = {
    Conv2d: _convolution,
    Linear: _convolution,
    Rescale: _rescale,
    Add: _add,
    ResizeBilinear2x: _resize_bilinear2x,
    MaxPool2d: _max_pool,
    ResizeNearest: _resize_nearest,
    Slice: _moving,
    DepthToSpace: _moving,
}
"""What is better than the float32 engine here; a rule returns None where it has no proof."""


def _to_bytes(values: torch.Tensor, dtype: str) -> torch.Tensor:
    """Return integer-valued floats as the engine holds them."""
    if dtype not in BYTES:
        return values
    return (values + zero_point(dtype)).to(torch.uint8) if dtype == "int8" else values.to(torch.uint8)


def _to_float(values: torch.Tensor, dtype: str) -> torch.Tensor:
    """Return what the float32 engine takes."""
    return values.float().sub_(zero_point(dtype)) if dtype in BYTES else values


def _borrowed(op: Operator, program: IntProgram) -> Kernel:
    """Return the float32 engine's kernel between conversions."""
    kernel = float32.KERNELS[type(op)](op, program)
    dtypes = [program.values[name].dtype for name in op.inputs]
    out = program.values[op.output].dtype
    return lambda *xs: _to_bytes(kernel(*(_to_float(x, dtype) for x, dtype in zip(xs, dtypes, strict=True))), out)


class Engine(Stepwise):
    """Holds one prepared kernel per operator.

    Attributes:
        kernels: Operator → ``fused``, ``int8 products``, ``bytes`` or ``float32``.
    """

    def __init__(self, program: IntProgram) -> None:
        super().__init__(program)
        self.kernels: dict[str, str] = {}
        self._run: dict[str, Kernel] = {}
        with self.session():
            for op in program.ops:
                rule = KERNELS.get(type(op))
                chosen = rule(op, program) if rule else None
                self.kernels[op.name], self._run[op.name] = chosen or ("float32", _borrowed(op, program))

    @contextmanager
    def session(self) -> Iterator[None]:
        """Everything that computes runs inside."""
        with torch.inference_mode(), exact_float32():
            yield

    def enter(self, array: NDArray[Any]) -> torch.Tensor:
        """Return an NHWC integer array as (N, C, H, W) in channels_last memory."""
        if array.dtype == np.int8:
            array = array.view(np.uint8) ^ np.uint8(ZERO_POINT)
        elif array.dtype != np.uint8:
            array = array.astype(np.float64 if array.dtype == np.int32 else np.float32)
        return torch.from_numpy(np.array(array, order="C")).permute(0, 3, 1, 2)

    def compute(self, op: Operator, inputs: list[torch.Tensor], dying: Sequence[str] = ()) -> torch.Tensor:
        """Return the output of `op`; of its inputs, those in `dying` are read for the last time."""
        if isinstance(op, Add) and self.kernels[op.name] == "fused" and op.inputs[1] in dying:
            return self._run[op.name](*inputs, overwrite=op.inputs[0] != op.inputs[1])
        return self._run[op.name](*inputs)

    def leave(self, value: torch.Tensor, dtype: str) -> NDArray[Any]:
        """Return a value as a contiguous NHWC array of `dtype`."""
        array = np.ascontiguousarray(value.permute(0, 2, 3, 1).numpy())
        return (array ^ np.uint8(ZERO_POINT)).view(np.int8) if dtype == "int8" else array.astype(dtype, copy=False)
