"""A convolution on integer-valued tensors: batch norm fold, requantisation and a straight-through gradient in one.

One autograd function instead of a chain: the forward writes three tensors of the size of the result, the backward reads
two, so that a training step costs about what conv + batch norm + ReLU cost. ``M · 2^−s`` counts as the constant
Sx · Sw / Sy; rounding passes the gradient, saturation stops it (Jacob et al. 2018, arXiv:1712.05877).

Under autocast to bfloat16 the forward stays as it is, bit for bit, and convolutions without groups take bfloat16
operands in the backward. Not float16: gradients in units of integers leave its range.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from hatlite.ops.exact import asked_dtype
from hatlite.ops.integer.engine_rules import FLOAT32_EXACT
from hatlite.quantization.straight_through import Watch
from hatlite.quantization.weight_scales import BIAS_LIMIT

__all__ = ["ConvConstants", "fold", "integer_conv"]


@dataclass(frozen=True, eq=False)
class ConvConstants:
    """What is constant between two refreshes of the scales, per output channel; C channels.

    Attributes:
        mean: (C,) float64 running mean, 0 without batch norm.
        weight_unit: (C,) float64 1 / (Sw · std): integers per real weight and gamma; std is 1 without batch norm.
        bias_unit: (C,) float64 1 / (Sx · Sw · std): integers per real bias and gamma.
        beta_unit: (C,) float64 1 / (Sx · Sw): integers per beta.
        multiplier: (C,) M · 2^−s, float32 where float32 rounding is proven, else float64; None leaves the accumulator.
        quant_min: Lower clamp; None with ``multiplier=None`` is none.
        quant_max: Upper clamp.
        input_magnitude: Largest absolute value of an input.
        geometry: stride, padding, dilation, groups.
        weight_range: Smallest and largest weight, beyond which it saturates.
        bias_range: The same for the bias.
        round_weight: Makes integers of weights (O, I / groups, h, w) in steps of their scale, as a new tensor.
        round_bias: The same for biases (O,).
        half_even: How a float32 multiplier rounds an exact half: to the even neighbour, else up.
    """

    mean: torch.Tensor
    weight_unit: torch.Tensor
    bias_unit: torch.Tensor
    beta_unit: torch.Tensor
    multiplier: torch.Tensor | None
    quant_min: int | None
    quant_max: int
    input_magnitude: int
    geometry: tuple[Any, Any, Any, int]
    weight_range: tuple[int, int] = (-127, 127)
    bias_range: tuple[int, int] = (-BIAS_LIMIT, BIAS_LIMIT)
    round_weight: Callable[[torch.Tensor], torch.Tensor] = torch.round
    round_bias: Callable[[torch.Tensor], torch.Tensor] = torch.round
    half_even: bool = True

    @property
    def weight_magnitude(self) -> int:
        """Largest absolute weight."""
        return max(map(abs, self.weight_range))


@dataclass(frozen=True, eq=False)
class _Folded:
    """Integer constants of one step and what their gradients need."""

    weight: torch.Tensor  # (O, I / groups, h, w) float32, integer-valued
    bias: torch.Tensor  # (O,) float64, integer-valued
    unit: torch.Tensor  # (O, 1, 1, 1) float32: integers per real weight
    unrounded_weight: torch.Tensor  # like weight
    unrounded_bias: torch.Tensor  # like bias


def _columns(values: torch.Tensor) -> torch.Tensor:
    return values.reshape(-1, 1, 1, 1)


def fold(constants: ConvConstants, weight: Any, bias: Any = None, gamma: Any = None, beta: Any = None) -> _Folded:
    """Return the integers of a real weight (O, I / groups, h, w) and bias (O,) behind a batch norm with gamma and beta.

    The fold runs in float64 and the weight takes one float32 multiplication, all correctly rounded everywhere, so that
    every device makes the same integers.
    """
    unit, bias_unit = constants.weight_unit, constants.bias_unit
    if gamma is not None:
        wide = gamma.double()
        unit, bias_unit = unit * wide, bias_unit * wide
    unit = _columns(unit.float())
    unrounded_weight = weight * unit
    unrounded_bias = bias_unit * _centred(constants, bias)
    if beta is not None:
        unrounded_bias.add_(beta.double() * constants.beta_unit)
    return _Folded(
        weight=constants.round_weight(unrounded_weight).clamp_(*constants.weight_range),
        bias=constants.round_bias(unrounded_bias).clamp_(*constants.bias_range),
        unit=unit,
        unrounded_weight=unrounded_weight,
        unrounded_bias=unrounded_bias,
    )


def _centred(constants: ConvConstants, bias: torch.Tensor | None) -> torch.Tensor:
    return -constants.mean if bias is None else bias.double() - constants.mean


def _is_exact_in_float32(folded: _Folded, constants: ConvConstants) -> bool:
    """Return whether Σ|w| · max|x| + |b| stays below 2^24 in every channel; from sizes alone where that suffices."""
    taps, magnitude = folded.weight[0].numel(), constants.input_magnitude
    if taps * constants.weight_magnitude * magnitude + max(map(abs, constants.bias_range)) < FLOAT32_EXACT:
        return True
    sums = folded.weight.abs().sum(dim=(1, 2, 3)).double()
    return bool((sums * magnitude + folded.bias.abs()).max() < FLOAT32_EXACT)


class _IntegerConv(torch.autograd.Function):
    """(x, weight, bias, gamma, beta) → requantised result, or the accumulator where ``multiplier`` is None.

    The second result is what was rounded; unless it is `watched`, it may be rounded already.
    """

    @staticmethod
    def forward(
        ctx: Any, constants: ConvConstants, watched: bool, x: torch.Tensor, *parameters: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        folded = fold(constants, *parameters)
        dtype = torch.float32 if _is_exact_in_float32(folded, constants) else torch.float64
        acc = F.conv2d(x.to(dtype), folded.weight.to(dtype), folded.bias.to(dtype), *constants.geometry)
        ctx.constants, ctx.folded = constants, folded
        y, unclamped = _finish(constants, acc, watched)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(unclamped)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(_as_factor(x, constants), *parameters[:3], unclamped)
        return y, unclamped

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor, _: None) -> tuple:
        constants, folded = ctx.constants, ctx.folded
        x, weight, bias, gamma, unclamped = ctx.saved_tensors
        grad = _pass_inside(grad, unclamped, constants).float()
        scale = None if constants.multiplier is None else constants.multiplier.float()
        scaled_weight = folded.weight if scale is None else folded.weight * _columns(scale)
        stride, padding, dilation, groups = constants.geometry
        need_x, need_weight = ctx.needs_input_grad[2], any(ctx.needs_input_grad[3:])
        arguments = (list(stride), list(padding), list(dilation), False, [0, 0], groups)
        needs = [need_x, need_weight, need_weight]
        found = torch.ops.aten.convolution_backward(
            grad.to(x.dtype), x, scaled_weight.to(x.dtype), [len(weight)], *arguments, needs
        )
        grad_x, grad_weight, grad_bias = (one if one is None else one.float() for one in found)
        if not need_weight:
            return None, None, grad_x, None, None, None, None
        if scale is not None:
            grad_weight, grad_bias = grad_weight.mul_(_columns(scale)), grad_bias.mul_(scale)
        grads = _unfold(constants, folded, (weight, bias, gamma), grad_weight, grad_bias)
        needed = ctx.needs_input_grad[3:]
        return None, None, grad_x, *(g if need else None for g, need in zip(grads, needed, strict=True))


def _as_factor(x: torch.Tensor, constants: ConvConstants) -> torch.Tensor:
    """Return the image in the type that the backward multiplies in.

    With groups that is float32: oneDNN has no fast bfloat16 backward for a depthwise convolution with a stride.
    """
    half = asked_dtype(x.device) == torch.bfloat16 and constants.geometry[3] == 1
    return x.bfloat16() if half else x


def _finish(constants: ConvConstants, acc: torch.Tensor, watched: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the result as float32 and what its clamp looked at, not rounded if `watched`; `acc` may be overwritten."""
    m = constants.multiplier
    if m is None:
        return (acc, acc.new_empty(0)) if constants.quant_min is None else (acc.clamp_min(constants.quant_min), acc)
    m = m.reshape(1, -1, 1, 1)
    narrow = m.dtype == torch.float32 and acc.dtype == torch.float32
    if narrow and constants.half_even:
        unclamped = acc.mul_(m)
        return torch.round(unclamped).clamp_(constants.quant_min, constants.quant_max), unclamped
    scaled = acc.to(acc.dtype if narrow else torch.float64).mul_(m)
    unrounded = scaled.to(torch.float32, copy=True) if watched else None
    rounded = scaled.add_(0.5).floor_()
    y = rounded.clamp(constants.quant_min, constants.quant_max).float()
    return y, rounded.float() if unrounded is None else unrounded


def _pass_inside(grad: torch.Tensor, unclamped: torch.Tensor, constants: ConvConstants) -> torch.Tensor:
    """Stop the gradient where the result saturates: a rounded value lies inside half a step beyond the clamp."""
    if constants.multiplier is None and constants.quant_min is None:
        return grad
    low = constants.quant_min - 0.5
    high = float("inf") if constants.multiplier is None else constants.quant_max + 0.5
    return torch.ops.aten.hardtanh_backward(grad, unclamped, low, high)


def _unfold(
    constants: ConvConstants, folded: _Folded, parameters: tuple, grad_weight: torch.Tensor, grad_bias: torch.Tensor
) -> tuple[torch.Tensor | None, ...]:
    """Return the gradients of weight, bias, gamma and beta from those of the integers."""
    weight, bias, gamma = parameters
    inside = torch.ops.aten.hardtanh_backward
    (low, high), (lowest, highest) = constants.weight_range, constants.bias_range
    grad_weight = inside(grad_weight, folded.unrounded_weight, low - 0.5, high + 0.5)
    grad_bias = inside(grad_bias.double(), folded.unrounded_bias, lowest - 0.5, highest + 0.5)
    grad_gamma, by_bias = None, grad_bias * constants.bias_unit
    if gamma is not None:
        by_weight = torch.linalg.vecdot(grad_weight.flatten(1), weight.flatten(1)).double()
        grad_gamma = (by_weight * constants.weight_unit + by_bias * _centred(constants, bias)).float()
    grad_real_bias = None
    if bias is not None:
        grad_real_bias = (by_bias if gamma is None else by_bias * gamma).float()
    grad_beta = (grad_bias * constants.beta_unit).float()
    return grad_weight.mul_(folded.unit), grad_real_bias, grad_gamma, grad_beta


def integer_conv(
    constants: ConvConstants,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    gamma: torch.Tensor | None = None,
    beta: torch.Tensor | None = None,
    *,
    watch: Watch | None = None,
) -> torch.Tensor:
    """Return the integer result of a folded convolution; gradients reach x, weight, bias, gamma and beta.

    Args:
        constants: Scales, multipliers, clamp and geometry.
        x: (N, I, H, W) integer-valued float32.
        weight: (O, I / groups, h, w) real, float32.
        bias: (O,) real, or None.
        gamma: (O,) scale of the batch norm, or None.
        beta: (O,) shift of the batch norm, or None.
        watch: Is shown the result and what it was before it was rounded and clamped; what it returns is returned. None
            does without.

    Returns:
        (N, O, Y, X) integer-valued float32; a raw accumulator beyond 2^24 is float64.
    """
    y, unrounded = _IntegerConv.apply(constants, watch is not None, x, weight, bias, gamma, beta)
    return y if watch is None else watch(y, unrounded)
