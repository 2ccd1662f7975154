"""Rounding with a gradient: forward is the integer definition, backward the straight-through estimator.

The forward values are exact integers held in floats; they are tested against ``ops/integer/fixed_point.py``. The
gradient treats rounding as the identity and stops where the result saturates (Jacob et al. 2018, arXiv:1712.05877).
"""

from typing import Any

import torch

__all__ = ["quantize", "requantize"]


class _Quantize(torch.autograd.Function):
    """``clamp(round(x), low, high)``, ties to even."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, low: int, high: int) -> torch.Tensor:
        rounded = torch.round(x)
        ctx.save_for_backward((rounded >= low) & (rounded <= high))
        return rounded.clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple:
        (inside,) = ctx.saved_tensors
        return grad * inside, None, None


class _Requantize(torch.autograd.Function):
    """``clamp((Σ xᵢ·Mᵢ + 2^(s−1)) >> s, low, high)`` written as ``floor(Σ xᵢ·mᵢ + ½)`` with mᵢ = Mᵢ·2^−s in float64.

    A product has at most 39 bits (53 for int16 inputs) and mᵢ is Mᵢ with another exponent, so products, sums and floor
    are exact.
    """

    @staticmethod
    def forward(ctx: Any, low: int, high: int, *terms: torch.Tensor) -> torch.Tensor:
        values, factors = terms[::2], terms[1::2]
        y = values[0].to(torch.float64, copy=True).mul_(factors[0])
        for value, factor in zip(values[1:], factors[1:], strict=True):
            y.add_(value.double().mul_(factor))
        y.add_(0.5).floor_()
        ctx.save_for_backward((y >= low) & (y <= high), *factors)
        return y.clamp_(low, high).float()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple:
        inside, *factors = ctx.saved_tensors
        grad = grad * inside
        grads: list[torch.Tensor | None] = []
        for factor in factors:
            grads += [grad * factor.to(grad.dtype), None]
        return None, None, *grads


def quantize(x: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """Round to even and clamp; the gradient passes where nothing saturates."""
    return _Quantize.apply(x, low, high)


def requantize(low: int, high: int, *terms: torch.Tensor) -> torch.Tensor:
    """Bring integers to the scale of the output.

    Args:
        low: Lower clamp; 0 is a ReLU.
        high: Upper clamp.
        terms: ``x, m`` for an accumulator, ``a, ma, b, mb`` for an addition: integer-valued float32 or float64 tensors,
            (N, C, H, W) or (N, C), each followed by its float64 M·2^−s, broadcastable to it.

    Returns:
        Integer-valued float32 of the shape of the first value.
    """
    return _Requantize.apply(low, high, *terms)
