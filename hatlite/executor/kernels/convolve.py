"""Convolutions of integers in floating point, on a device that chooses its algorithms itself.

A sum of integers is exact in a float type that holds all of them, in any order. A library may do more than re-order:
Winograd and Fourier transforms multiply transformed values, and TF32 shortens them. Which algorithm runs depends on the
shape and not on the values, so every shape is asked once, on a device that is not known to be direct: kernels with a
single 1 pick pixels that use every bit of the type, which only sums that transform nothing give back unchanged. A shape
that fails is computed by :func:`by_taps`.
"""

from typing import Any

import torch
from torch.nn import functional as F

from hatlite.log import get_logger

__all__ = ["DIRECT_DEVICES", "Convolution", "by_taps"]

logger = get_logger(__name__)

DIRECT_DEVICES = ("cpu",)
"""Where float convolutions are direct or an im2col product, with NNPACK off: :mod:`hatlite.ops.exact` sees to that."""
NHWC = torch.channels_last


class Convolution:
    """``conv2d`` of integer-valued floats, exact while the float type holds every sum.

    Args:
        weight: (O, I / groups, h, w) integers in the float type that holds all sums; says the device, too.
        bias: (O,) integers of the same type, or None.
        window: stride, padding, dilation and groups of ``conv2d``.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, **window: Any) -> None:
        self.weight = weight.contiguous(memory_format=NHWC)
        self.bias = bias
        self.window = window
        self.direct: dict[torch.Size, bool] = {}

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the (N, O, Y, X) accumulators of `x`, (N, I, H, W)."""
        x = x.to(self.weight.dtype)
        if self.weight.device.type not in DIRECT_DEVICES:
            x = x.contiguous(memory_format=NHWC)  # as it is asked about
            if not self._is_direct(x):
                return by_taps(x, self.weight, self.bias, **self.window)
        return F.conv2d(x, self.weight, self.bias, **self.window)

    def _is_direct(self, x: torch.Tensor) -> bool:
        """Return whether convolutions of this shape only add up products; asked once."""
        if x.shape not in self.direct:
            pixels, picks = (part.to(x.device).contiguous(memory_format=NHWC) for part in self._probe(x.shape))
            bias = None if self.bias is None else torch.zeros_like(self.bias)
            result = F.conv2d(pixels, picks, bias, **self.window)
            self.direct[x.shape] = torch.equal(result.double(), by_taps(pixels, picks, bias, **self.window))
            if not self.direct[x.shape]:
                logger.warning("Convolutions of %s are not exact here; they run in float64, tap by tap.", [*x.shape])
        return self.direct[x.shape]

    def _probe(self, shape: torch.Size) -> tuple[torch.Tensor, torch.Tensor]:
        """Return pixels of as many bits as the type has, and kernels with a 1 at a place that is drawn."""
        generator, kind = torch.Generator().manual_seed(0), self.weight.dtype
        limit = 2 ** (24 if kind == torch.float32 else 53)
        pixels = torch.randint(1 - limit, limit, shape, generator=generator, device="cpu").to(kind)
        picks = torch.zeros(self.weight.shape, dtype=kind, device="cpu")
        places = torch.randint(picks[0].numel(), (len(picks), 1), generator=generator, device="cpu")
        return pixels, picks.flatten(1).scatter_(1, places, 1.0).view(self.weight.shape)


def by_taps(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> torch.Tensor:
    """Return ``conv2d`` in float64 as a sum of matrix products, one per tap of the kernel: no library chooses for it.

    Args:
        x: (N, I, H, W) integers of any float type.
        weight: (O, I / groups, h, w).
        bias: (O,) or None.
        stride: Step of the window.
        padding: Zeros on both sides of each axis.
        dilation: Distance of taps.
        groups: Groups of channels.

    Returns:
        (N, O, Y, X) float64 in channels_last memory, exact below 2^53.
    """
    x = F.pad(x.double(), (padding[1], padding[1], padding[0], padding[0]))
    taps = weight.double().unflatten(0, (groups, -1))  # (G, O / G, I / G, h, w)
    rows, columns = ((x.shape[2 + i] - dilation[i] * (taps.shape[3 + i] - 1) - 1) // stride[i] + 1 for i in (0, 1))
    total = torch.zeros((), dtype=torch.float64, device=x.device) if bias is None else bias.double().view(-1, 1, 1)
    for h in range(taps.shape[3]):
        for w in range(taps.shape[4]):
            top, left = h * dilation[0], w * dilation[1]
            seen = x[:, :, top :: stride[0], left :: stride[1]][:, :, :rows, :columns].unflatten(1, (groups, -1))
            total = total + torch.einsum("ngiyx,goi->ngoyx", seen, taps[..., h, w]).flatten(1, 2)
    return total.contiguous(memory_format=NHWC)
