"""Rounding with a gradient: forward is the integer definition, backward the straight-through estimator.

The forward values are exact integers held in floats; they are tested against ``ops/integer/fixed_point.py``. The
gradient treats rounding as the identity and stops where the result saturates (Jacob et al. 2018, arXiv:1712.05877).
"""

from typing import Any

import torch

__all__ = ["lookup", "requantize"]


class _Requantize(torch.autograd.Function):
    """``clamp((Σ xᵢ·Mᵢ + 2^(s−1)) >> s, low, high)`` with mᵢ = Mᵢ·2^−s.

    In float64 it is written as ``floor(Σ xᵢ·mᵢ + ½)``: a product has at most 39 bits (53 for int16 inputs) and mᵢ is Mᵢ
    with another exponent, so products, sums and floor are exact. In float32 it is ``rint(Σ xᵢ·mᵢ)``, which a
    certificate must allow.
    """

    @staticmethod
    def forward(ctx: Any, low: int, high: int, dtype: torch.dtype, factors: tuple, *values: torch.Tensor) -> Any:
        total = values[0].to(dtype) * factors[0]
        for value, factor in zip(values[1:], factors[1:], strict=True):
            total.add_(value.to(dtype), alpha=factor)
        if dtype == torch.float32:
            rounded = torch.round(total)
        else:
            rounded = total.add_(0.5).floor_()
            total = rounded.float()
        ctx.low, ctx.high, ctx.factors = low, high, factors
        ctx.save_for_backward(total)
        return rounded.clamp_(low, high).float()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple:
        (total,) = ctx.saved_tensors
        grad = torch.ops.aten.hardtanh_backward(grad, total, ctx.low - 0.5, ctx.high + 0.5)
        needed = ctx.needs_input_grad[4:]
        grads = (grad * factor if need else None for factor, need in zip(ctx.factors, needed, strict=True))
        return None, None, None, None, *grads


def requantize(
    low: int, high: int, factors: tuple[float, ...], *values: torch.Tensor, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    """Bring integers to the scale of the output.

    Args:
        low: Lower clamp; 0 is a ReLU.
        high: Upper clamp.
        factors: M·2^−s of each value.
        values: One accumulator, or two activations to add: integer-valued floats, (N, C, H, W) or (N, C).
        dtype: float64 is exact always, float32 where a certificate says so.

    Returns:
        Integer-valued float32 of the shape of the first value.
    """
    return _Requantize.apply(low, high, dtype, factors, *values)


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
