"""Rounding with a gradient: forward is the integer definition, backward the straight-through estimator.

The forward values are exact integers held in floats; they are tested against ``ops/integer/fixed_point.py``. The
gradient treats rounding as the identity and stops where the result saturates (Jacob et al. 2018, arXiv:1712.05877).
That of a learned scale is LSQ's (Esser et al. 2020, arXiv:1902.08153).
"""

import math
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["Watch", "learn_scale", "lookup", "pass_through", "requantize", "round_between"]

Watch = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(rounded and clamped, before both) → what goes on in place of the first."""


class _LearnScale(torch.autograd.Function):
    """Integers unchanged; backward adds what the scale that they were rounded to learns from this rounding."""

    @staticmethod
    def forward(
        ctx: Any, low: int, high: int, log_scale: torch.Tensor, y: torch.Tensor, unrounded: torch.Tensor
    ) -> torch.Tensor:
        ctx.low, ctx.high = low, high
        ctx.save_for_backward(y, unrounded)
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple:
        y, unrounded = ctx.saved_tensors
        inside = torch.ops.aten.hardtanh_backward(unrounded, unrounded, ctx.low, ctx.high)  # 0 where it saturates
        total = (
            torch.sub(y, inside, out=inside).mul_(grad).sum()
        )  # few passes and one new tensor: memory is what it costs
        return None, None, total / math.sqrt(y[0].numel() * ctx.high), grad, None


def learn_scale(low: int, high: int, log_scale: torch.Tensor, y: torch.Tensor, unrounded: torch.Tensor) -> torch.Tensor:
    """Return the integers `y`; backward gives `log_scale` LSQ's gradient.

    For v̂ = S · clamp(round(v / S)) LSQ takes dv̂/dS = round(v / S) − v / S inside the clamp and the clamp itself
    outside, times 1 / sqrt(N · high) with N values per image. The gradient at the integers is S times that at v̂, so it
    makes dL/dS · S, the derivative by the logarithm of S.

    Args:
        low: Lower clamp.
        high: Upper clamp.
        log_scale: Scalar parameter, the logarithm of S up to a constant; its value is not looked at.
        y: Rounded integers, (N, C, H, W) or (N, C) float32.
        unrounded: v / S, like `y`.
    """
    return _LearnScale.apply(low, high, log_scale, y, unrounded)


class _Requantize(torch.autograd.Function):
    """``clamp((Σ xᵢ·Mᵢ + 2^(s−1)) >> s, low, high)`` with mᵢ = Mᵢ·2^−s.

    In float64 it is written as ``floor(Σ xᵢ·mᵢ + ½)``: a product has at most 39 bits (53 for int16 inputs) and mᵢ is Mᵢ
    with another exponent, so products, sums and floor are exact. In float32 it is ``rint(Σ xᵢ·mᵢ)`` if `half_even`,
    else the same floor; a certificate must allow either. The second result is ``Σ xᵢ·mᵢ``; unless it is `watched`, it
    may be rounded.
    """

    @staticmethod
    def forward(
        ctx: Any,
        low: int,
        high: int,
        tail: tuple[torch.dtype, bool],
        watched: bool,
        factors: tuple,
        *values: torch.Tensor,
    ) -> Any:
        dtype, half_even = tail
        total = values[0].to(dtype) * factors[0]
        for value, factor in zip(values[1:], factors[1:], strict=True):
            total.add_(value.to(dtype), alpha=factor)
        if half_even:
            rounded = torch.round(total)
        else:
            unrounded = total.to(torch.float32, copy=True) if watched else None
            rounded = total.add_(0.5).floor_()
            total = rounded.float() if unrounded is None else unrounded
            rounded = rounded.clamp(low, high)  # not in place: in float32 they are one tensor
        ctx.low, ctx.high, ctx.factors = low, high, factors
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(total)
        ctx.save_for_backward(total)
        return rounded.clamp_(low, high).float(), total

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor, _: None) -> tuple:
        (total,) = ctx.saved_tensors
        grad = torch.ops.aten.hardtanh_backward(grad, total, ctx.low - 0.5, ctx.high + 0.5)
        needed = ctx.needs_input_grad[5:]
        grads = (grad * factor if need else None for factor, need in zip(ctx.factors, needed, strict=True))
        return None, None, None, None, None, *grads


def requantize(
    low: int,
    high: int,
    factors: tuple[float, ...],
    *values: torch.Tensor,
    dtype: torch.dtype = torch.float64,
    half_even: bool = True,
    watch: Watch | None = None,
) -> torch.Tensor:
    """Bring integers to the scale of the output.

    Args:
        low: Lower clamp; 0 is a ReLU.
        high: Upper clamp.
        factors: M·2^−s of each value.
        values: One accumulator, or two activations to add: integer-valued floats, (N, C, H, W) or (N, C).
        dtype: float64 is exact always, float32 where a certificate says so.
        half_even: How float32 rounds an exact half; float64 rounds it up.
        watch: Is shown the result and Σ xᵢ·mᵢ, the result before it was rounded and clamped; what it returns is
            returned. None does without.

    Returns:
        Integer-valued float32 of the shape of the first value.
    """
    tail = dtype, half_even and dtype == torch.float32
    y, unrounded = _Requantize.apply(low, high, tail, watch is not None, factors, *values)
    return y if watch is None else watch(y, unrounded)


class _RoundBetween(torch.autograd.Function):
    """``clamp(floor(x + ½), low, high)`` with the gradient of the clamp alone."""

    @staticmethod
    def forward(ctx: Any, low: int, high: int, x: torch.Tensor) -> torch.Tensor:
        ctx.low, ctx.high = low, high
        ctx.save_for_backward(x)
        return x.add(0.5).floor_().clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple:
        (x,) = ctx.saved_tensors
        return None, None, torch.ops.aten.hardtanh_backward(grad, x, ctx.low, ctx.high)


def round_between(low: int, high: int, x: torch.Tensor) -> torch.Tensor:
    """Return real values as integers of their own type; exact halves go up.

    The gradient is 1 strictly between the clamps and 0 elsewhere: that of the clip, which rounding passes on.

    Args:
        low: Lower clamp.
        high: Upper clamp.
        x: Steps, neither rounded nor clamped, of any shape and float type.
    """
    return _RoundBetween.apply(low, high, x)


class _PassThrough(torch.autograd.Function):
    """The second value; backward hands the gradient to the first."""

    @staticmethod
    def forward(ctx: Any, real: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:
        return rounded.view_as(rounded)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple:
        return grad, None


def pass_through(real: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:
    """Return `rounded`, the gradient at which goes to `real` unchanged, also where it saturates."""
    return _PassThrough.apply(real, rounded)


class _Lookup(torch.autograd.Function):
    """``table[q − lowest]`` with the gradient ``slope[q − lowest]``."""

    @staticmethod
    def forward(ctx: Any, lowest: int, table: torch.Tensor, slope: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        index = (q - lowest).long()
        ctx.save_for_backward(index, slope)
        return table[index]

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple:
        index, slope = ctx.saved_tensors
        return None, None, None, grad * slope[index]


def lookup(lowest: int, table: torch.Tensor, slope: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Replace every integer by its entry of a table.

    Args:
        lowest: The integer of the first entry.
        table: (L,) integer-valued float32.
        slope: (L,) float32: what the gradient is multiplied by at each entry.
        q: Integer-valued float32 of any shape.

    Returns:
        Integer-valued float32 of the shape of `q`.
    """
    return _Lookup.apply(lowest, table, slope, q)
