"""Which numbers a scale may be."""

from collections.abc import Callable

import torch

from hatlite.errors import QuantizationError
from hatlite.registry import nearest

__all__ = ["SCALE_GRIDS", "check_grid", "on_grid"]


def _float32(scale: torch.Tensor) -> torch.Tensor:
    return scale.float().double()


def _pow2(scale: torch.Tensor) -> torch.Tensor:
    """Return the smallest power of two that is not below `scale`.

    Up and not to the nearest: the step at most doubles, while what the nearest one clips may cost many times as much.
    """
    mantissa, exponent = torch.frexp(scale)  # 0.5 ≤ mantissa < 1
    return torch.ldexp(torch.ones_like(scale), exponent - (mantissa == 0.5).to(exponent.dtype))


SCALE_GRIDS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"float32": _float32, "pow2": _pow2}
"""Grids by the names that configs use. What lies on one is a float32 value: what ONNX and every engine can carry."""


def check_grid(grid: str) -> None:
    """Refuse a grid that does not exist.

    Raises:
        QuantizationError: `grid` is none of :data:`SCALE_GRIDS`.
    """
    if grid not in SCALE_GRIDS:
        known = ", ".join(sorted(SCALE_GRIDS))
        hint = nearest(str(grid), list(SCALE_GRIDS))
        raise QuantizationError(f"config['qconfig']['scale_grid'] is {grid!r}; expected one of {known}.{hint}")


def on_grid(scale: torch.Tensor, grid: str) -> torch.Tensor:
    """Return float64 values on `grid` for the positive float64 values `scale`, of any shape."""
    return SCALE_GRIDS[grid](scale)
