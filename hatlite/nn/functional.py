"""Operations as modules, so that graph capture sees every call site.

Inside a network write ``self.add(a, b)`` instead of ``a + b``. One instance may be called several times: statistics
belong to the call site, not to the module.
"""

import torch
from torch import nn
from torch.nn import functional as F

from hatlite.errors import BuildError

__all__ = ["Add", "Concat", "Exp", "Interpolate", "Mul", "Sub"]


class Add(nn.Module):
    """``a + b`` of two tensors of one shape (N, C, H, W)."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a + b


class Sub(nn.Module):
    """``a − b`` of two tensors of one shape (N, C, H, W)."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a - b


class Mul(nn.Module):
    """``a · b`` of two tensors of one shape (N, C, H, W); b may also have one value per channel, (N, C, 1, 1)."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a * b


class Concat(nn.Module):
    """Tensors (N, C, H, W) of one height and width, one after the other along the channels.

    As integers the parts share one scale, the largest that any of them needs.
    """

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        return torch.cat(parts, dim=1)


class Exp(nn.Module):
    """``e^x`` of every value."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(x)


class Interpolate(nn.Module):
    """Resize (N, C, H, W) by an integer factor.

    ``bilinear`` doubles the size with half-pixel centres (``align_corners=False``), which equals nearest ×2, edge
    padding by 1 and a depthwise [1 2 1] ⊗ [1 2 1] / 16, the form in which integers compute it. ``nearest`` repeats
    pixels.

    Args:
        scale_factor: Whole number; 2 for ``bilinear``.
        mode: ``nearest`` or ``bilinear``.
    """

    def __init__(self, scale_factor: int = 2, mode: str = "bilinear") -> None:
        super().__init__()
        if mode not in ("nearest", "bilinear") or scale_factor != int(scale_factor) or scale_factor < 1:
            raise BuildError(
                f"Interpolate takes mode nearest or bilinear and a whole factor, not {mode}, {scale_factor}."
            )
        if mode == "bilinear" and scale_factor != 2:
            raise BuildError(f"Interpolate: bilinear doubles the size (scale_factor=2), it cannot take {scale_factor}.")
        self.scale_factor = int(scale_factor)
        self.mode = mode

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        corners = False if self.mode == "bilinear" else None
        return F.interpolate(x, scale_factor=self.scale_factor, mode=self.mode, align_corners=corners)

    def extra_repr(self) -> str:
        return f"scale_factor={self.scale_factor}, mode={self.mode!r}"
