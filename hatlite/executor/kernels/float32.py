"""The float32 engine: torch convolutions on tensors that hold integers, on the CPU or another device. Exact sums.

A float32 holds every integer up to 2^24, so a sum whose terms' absolute values stay below 2^24 is exact in any order.
Each layer is checked with its real weights; one that could exceed 2^24 is divided into parts that cannot
(:mod:`hatlite.executor.kernels.partial_sums`) or runs in float64 (up to 2^53). This excludes algorithms that multiply
transformed values, see :mod:`hatlite.executor.kernels.convolve`. Requantising works in float32 where the certificate of
the rule ``float32`` holds in every channel, or as floor(acc · M · 2^−s + ½): in float32 while ``|acc| · M + 2^(s−1) <
2^24``, as where scales are powers of two, in float64 while it is below 2^53; else in int64.

Values are (N, C, H, W) float32 in channels_last memory; raw accumulators are float64.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from hatlite.executor.kernels.convolve import Convolution
from hatlite.executor.kernels.partial_sums import BYTES_OF, Part, combine, parts_of
from hatlite.executor.kernels.stepwise import Stepwise
from hatlite.ops.exact import exact_float32
from hatlite.ops.integer.engine_rules import FLOAT32_EXACT
from hatlite.ops.integer.fixed_point import half_of
from hatlite.ops.integer.reference import BILINEAR_KERNEL
from hatlite.program import (
    Add,
    Concat,
    Conv2d,
    DepthToSpace,
    IntProgram,
    Linear,
    Lut,
    MaxPool2d,
    Mul,
    Operator,
    Pad,
    Requantize,
    Rescale,
    ResizeBilinear2x,
    ResizeNearest,
    Slice,
    Sub,
    TensorType,
)
from hatlite.program.bounds import accumulator_peak, add_peak
from hatlite.program.proofs import is_proven
from hatlite.qparams import int_type

__all__ = ["KERNELS", "Engine", "finisher"]

Kernel = Callable[..., torch.Tensor]

FLOAT64_EXACT = 2**53
CACHED_VALUES = 2**15  # float64 values per thread that stay in a core's cache
NHWC = torch.channels_last


def _exact_dtype(peak: int) -> torch.dtype:
    """The narrowest float type in which sums up to `peak` are exact."""
    return torch.float32 if peak < FLOAT32_EXACT else torch.float64


def _floors_in(limit: int, rule: Requantize, peak: int) -> bool:
    """Whether floor(acc · M · 2^−s + ½) is exact in a float that holds integers below `limit`."""
    units = 1 + int((rule.shift == 0).any())  # what is not shifted is still added to a half
    return (peak * int(rule.multiplier.max()) + int(half_of(rule.shift).max())) * units < limit


def _requantizer(rule: Requantize, peak: int) -> Kernel:
    """Return ``acc → clamp((acc · M + 2^(s−1)) >> s)`` for accumulators up to `peak`; `acc` may be overwritten."""
    # M · 2^−s is exact, and with every product below 2^24 or 2^53 so is acc · M · 2^−s + 1/2: floor is the right shift.
    factor = torch.as_tensor(np.ldexp(rule.multiplier.astype(np.float64), -rule.shift))
    if _floors_in(FLOAT32_EXACT, rule, peak):
        column = factor.float().view(1, -1, 1, 1)
        low, high = rule.quant_min, rule.quant_max
        return lambda acc: torch.mul(acc.float(), column).add_(0.5).floor_().clamp_(low, high)
    if not _floors_in(FLOAT64_EXACT, rule, peak):
        return _integer_requantizer(rule)

    def apply(acc: torch.Tensor) -> torch.Tensor:
        pixels = acc.permute(0, 2, 3, 1).contiguous()  # as it lies in memory
        rows = max(1, CACHED_VALUES * torch.get_num_threads() // acc.shape[1]) if acc.is_cpu else acc.numel()
        for block in pixels.view(-1, acc.shape[1]).split(rows):
            real = torch.mul(block, factor).add_(0.5).floor_()
            block.copy_(real).clamp_(rule.quant_min, rule.quant_max)  # what float32 cannot hold saturates anyway
        return pixels.permute(0, 3, 1, 2).float()

    return apply


def _integer_requantizer(rule: Requantize) -> Kernel:
    multiplier = torch.as_tensor(rule.multiplier.copy()).view(1, -1, 1, 1)
    shift = torch.as_tensor(rule.shift.copy()).view(1, -1, 1, 1)
    half = (torch.ones_like(shift) << shift) >> 1

    def apply(acc: torch.Tensor) -> torch.Tensor:
        rounded = (acc.long() * multiplier + half) >> shift
        return rounded.clamp_(rule.quant_min, rule.quant_max).float()

    return apply


def finisher(rule: Requantize | None, activation_min: int | None, peak: int) -> Kernel:
    """Return what makes the result of accumulators up to `peak`: requantised, or the accumulator as float64."""
    if rule is not None:
        return _requantizer(rule, peak)
    if activation_min is None:
        return torch.Tensor.double
    return lambda acc: acc.double().clamp_(min=activation_min)


def _types(op: Operator, program: IntProgram) -> tuple[list[TensorType], TensorType]:
    return [program.values[name] for name in op.inputs], program.values[op.output]


def _tail(op: Any, program: IntProgram, peak: int) -> Kernel:
    """Return the requantizer of `op` in the narrowest type that is proven; its accumulators reach up to `peak`."""
    if peak >= FLOAT32_EXACT or not is_proven(op, *_types(op, program), ("float32",)):
        return _requantizer(op.requantize, peak)
    rule = op.requantize
    factor = torch.as_tensor(np.ldexp(rule.multiplier.astype(np.float64), -rule.shift), dtype=torch.float32)
    factor = factor.view(1, -1, 1, 1)
    return lambda acc: torch.mul(acc.float(), factor).round_().clamp_(rule.quant_min, rule.quant_max)


def _convolution(op: Conv2d | Linear, program: IntProgram, **window: Any) -> Kernel:
    x = program.values[op.inputs[0]]
    peak = int(accumulator_peak(op, x.limits).max())
    dtype = _exact_dtype(peak)
    finish = finisher(None, op.activation_min, peak) if op.requantize is None else _tail(op, program, peak)
    parts = None if dtype == torch.float32 else parts_of(op, x.dtype, pointwise_from=math.inf)
    if parts is not None:
        sums = _partial_sums(parts, x.dtype, window)
        return lambda x: finish(sums(x))
    convolve = _prepared(op.weight.values, op.bias, dtype, window)
    return lambda x: finish(convolve(x))


def _prepared(weight_OhwI: Any, bias: Any, dtype: torch.dtype, window: dict[str, Any]) -> Convolution:
    weight = torch.as_tensor(weight_OhwI.transpose(0, 3, 1, 2).copy())
    return Convolution(weight.to(dtype), torch.as_tensor(bias.copy()).to(dtype), **window)


def _partial_sums(parts: Sequence[Part], x_dtype: str, window: dict[str, Any]) -> Kernel:
    weights = (part.weight.astype(np.int32) * part.worth for part in parts)
    convolutions = [_prepared(w, part.bias, torch.float32, window) for w, part in zip(weights, parts, strict=True)]

    def apply(x: torch.Tensor) -> torch.Tensor:
        read = {x_dtype: x}
        if x_dtype in BYTES_OF:
            low = x - torch.floor(x * 2**-8).mul_(2**8)
            read = {"int8": x - low, "uint8": low}  # high bytes at what they count for
        inputs = (read[part.dtype][:, part.channels] for part in parts)
        return combine([convolve(q) for q, convolve in zip(inputs, convolutions, strict=True)])

    return apply


def _conv2d(op: Conv2d, program: IntProgram) -> Kernel:
    window = {"stride": op.stride, "padding": op.padding, "dilation": op.dilation, "groups": op.groups}
    return _convolution(op, program, **window)


def _linear(op: Linear, program: IntProgram) -> Kernel:
    return _convolution(op, program)


def _add(op: Add, program: IntProgram) -> Kernel:
    peak = add_peak(op, *(program.values[name].limits for name in op.inputs))
    multiplier_a, multiplier_b = op.signed_multipliers
    if is_proven(op, *_types(op, program), ("float32", "float32_fused")):
        rule = op.requantize
        first, second = (math.ldexp(m, -int(rule.shift[0])) for m in op.signed_multipliers)
        return lambda a, b: torch.mul(a, first).add_(b, alpha=second).round_().clamp_(rule.quant_min, rule.quant_max)
    finish, dtype = _requantizer(op.requantize, peak), _exact_dtype(peak)
    return lambda a, b: finish(torch.mul(a.to(dtype), multiplier_a).add_(b, alpha=multiplier_b))


def _mul(op: Mul, program: IntProgram) -> Kernel:
    peak = math.prod(program.values[name].magnitude for name in op.inputs)
    dtype, finish = _exact_dtype(peak), _tail(op, program, peak)
    return lambda a, b: finish(a.to(dtype) * b.to(dtype))


def _max_pool2d(op: MaxPool2d, program: IntProgram) -> Kernel:
    return lambda x: F.max_pool2d(x, op.kernel, op.stride, op.padding)


def _resize_nearest(op: ResizeNearest, program: IntProgram) -> Kernel:
    # nearest-exact asks for the pixel under the centre, far from the rounding of a factor such as 1/3
    return lambda x: F.interpolate(x, scale_factor=op.factor, mode="nearest-exact")


def _resize_bilinear2x(op: ResizeBilinear2x, program: IntProgram) -> Kernel:
    x = program.values[op.inputs[0]]
    peak = x.magnitude * int(BILINEAR_KERNEL.sum())
    weight = torch.as_tensor(BILINEAR_KERNEL).to(_exact_dtype(peak)).expand(x.shape[2], 1, 3, 3)
    convolve = Convolution(weight, None, groups=len(weight))
    finish = _tail(op, program, peak)

    def apply(x: torch.Tensor) -> torch.Tensor:
        doubled = F.interpolate(x.to(weight.dtype), scale_factor=2, mode="nearest-exact")
        return finish(convolve(F.pad(doubled, (1, 1, 1, 1), mode="replicate")))

    return apply


def _rescale(op: Rescale, program: IntProgram) -> Kernel:
    finish = _requantizer(op.requantize, program.values[op.inputs[0]].magnitude)
    return lambda x: finish(x.to(torch.float64, copy=True))


def _concat(op: Concat, program: IntProgram) -> Kernel:
    return lambda *parts: torch.cat(parts, dim=1)


def _lut(op: Lut, program: IntProgram) -> Kernel:
    table = torch.as_tensor(op.table.astype(np.float32))
    lowest = int_type(program.values[op.inputs[0]].dtype).quant_min
    return lambda x: table[(x.permute(0, 2, 3, 1) - lowest).long()].permute(0, 3, 1, 2)


def _pad(op: Pad, program: IntProgram) -> Kernel:
    top, bottom, left, right = op.edges
    return lambda x: F.pad(x, (left, right, top, bottom))


def _slice(op: Slice, program: IntProgram) -> Kernel:
    rows, columns, channels = (slice(*ends) for ends in zip(op.start, op.stop, op.step, strict=True))
    return lambda x: x[:, channels, rows, columns].contiguous(memory_format=NHWC)


def _depth_to_space(op: DepthToSpace, program: IntProgram) -> Kernel:
    height, width = op.block

    def apply(x: torch.Tensor) -> torch.Tensor:
        blocks = x.permute(0, 2, 3, 1).unflatten(3, (-1, height, width))  # N H W C h w, as it lies in memory
        pixels = blocks.permute(0, 1, 4, 2, 5, 3).flatten(3, 4).flatten(1, 2)
        return pixels.permute(0, 3, 1, 2).contiguous(memory_format=NHWC)  # of one pixel's channels it is a view

    return apply


KERNELS: dict[type[Operator], Callable[..., Kernel]] = {
    Conv2d: _conv2d,
    Linear: _linear,
    Add: _add,
    MaxPool2d: _max_pool2d,
    ResizeNearest: _resize_nearest,
    ResizeBilinear2x: _resize_bilinear2x,
    Rescale: _rescale,
    Sub: _add,
    Mul: _mul,
    Concat: _concat,
    Lut: _lut,
    Pad: _pad,
    Slice: _slice,
    DepthToSpace: _depth_to_space,
}


class Engine(Stepwise):
    """Holds one prepared kernel per operator; values stay torch tensors between operators.

    Args:
        program: What it runs.
        device: Where constants and values lie, as torch calls it.
    """

    def __init__(self, program: IntProgram, device: str = "cpu") -> None:
        super().__init__(program)
        self._device = torch.device(device)
        with self._device:
            self._kernels = {op.name: KERNELS[type(op)](op, program) for op in program.ops}

    def enter(self, array: NDArray[Any]) -> torch.Tensor:
        """Return an NHWC integer array as (N, C, H, W) float32 in channels_last memory."""
        integers = torch.from_numpy(np.array(array, order="C")).to(self._device)
        return integers.to(torch.float64 if array.dtype == np.int32 else torch.float32).permute(0, 3, 1, 2)

    @contextmanager
    def session(self) -> Iterator[None]:
        """Everything that computes runs inside."""
        with torch.inference_mode(), exact_float32(), _repeatable():
            yield

    def compute(self, op: Operator, inputs: list[torch.Tensor], dying: Sequence[str] = ()) -> torch.Tensor:
        """Return the output of `op`."""
        return self._kernels[op.name](*inputs)

    def leave(self, value: torch.Tensor, dtype: str) -> NDArray[Any]:
        """Return a value as a contiguous NHWC array of `dtype`."""
        return value.permute(0, 2, 3, 1).to(getattr(torch, dtype)).contiguous().cpu().numpy()


@contextmanager
def _repeatable() -> Iterator[None]:
    """Let cuDNN choose by shape alone, so that an algorithm that was checked is the one that runs."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before
