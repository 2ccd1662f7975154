"""Convolution or linear layer with its batch norm and ReLU, in the arithmetic of the accelerator."""

import torch
from torch import nn
from torch.nn import functional as F

from hatlite.ops.integer.fixed_point import quantize_multiplier
from hatlite.quantization.sites.base import Site
from hatlite.quantization.straight_through import quantize, requantize

__all__ = ["ConvSite"]

WEIGHT_MAX = 127
BIAS_MAX = 2**22
"""A weight scale keeps its bias below this, so that bias and products share the accumulator."""
BIAS_LIMIT = 2 * BIAS_MAX
"""Where a bias saturates when training moves it on between two refreshes of the scales."""
MIN_WEIGHT_SCALE = 2.0**-40
"""Floor for a channel that batch norm has killed (weights and bias 0): its accumulator is 0 whatever the scale."""
EXACT_FLOAT32 = 2**24
"""Integers up to here are exact in float32, in whatever order they are summed."""


class ConvSite(Site):
    """``conv2d`` or ``linear``, its batch norm folded with frozen statistics, and optionally a ReLU.

    Accumulator: acc = Σ q_x·q_w + q_b at scale Sx·Sw per output channel; result: requantised to int8, uint8 or int16,
    or the raw accumulator for dtype int32. Gradients reach the real weight, gamma and beta through the fold.

    Args:
        layer: The network's own Conv2d or Linear; shared by all sites that call it.
        batch_norm: The network's own BatchNorm2d, or None.
        site: What :class:`Site` takes.

    Attributes:
        weight_scale: (C,) float64 buffer Sw, per output channel.
        multiplier: (C,) int64 buffer M, odd, 15 bits.
        shift: (C,) int64 buffer s.
    """

    weight_scale: torch.Tensor
    multiplier: torch.Tensor
    shift: torch.Tensor

    def __init__(self, layer: nn.Conv2d | nn.Linear, batch_norm: nn.BatchNorm2d | None, **site: object) -> None:
        super().__init__(**site)  # type: ignore[arg-type]
        self.layers = (layer, batch_norm)  # a tuple, so that the parameters stay where they are
        channels = layer.weight.shape[0]
        self.register_buffer("weight_scale", torch.full((channels,), float("nan"), dtype=torch.float64))
        self.register_buffer("multiplier", torch.ones(channels, dtype=torch.int64))
        self.register_buffer("shift", torch.ones(channels, dtype=torch.int64))

    @property
    def layer(self) -> nn.Conv2d | nn.Linear:
        """The convolution or linear layer."""
        return self.layers[0]

    @property
    def raw(self) -> bool:
        """Whether the result is the accumulator itself."""
        return self.dtype == "int32"

    @property
    def has_scale(self) -> bool:
        """Whether the result has one scale; a raw accumulator has one per channel."""
        return not self.raw

    def folded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight and bias with the batch norm folded in, differentiable."""
        layer, bn = self.layers
        weight = layer.weight
        bias = layer.bias if layer.bias is not None else weight.new_zeros(weight.shape[0])
        if bn is None:
            return weight, bias
        factor = torch.rsqrt(bn.running_var + bn.eps)
        factor = factor if bn.weight is None else factor * bn.weight
        bias = (bias - bn.running_mean) * factor
        return weight * _per_channel(factor, weight.ndim), bias if bn.bias is None else bias + bn.bias

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        y = self._apply_layer(inputs[0], *self.folded())
        y = y.relu() if self.relu else y
        return y if self.raw else self.observe(y)

    def forward_integer(self, *inputs: torch.Tensor) -> torch.Tensor:
        acc = self.accumulate(inputs[0])
        if self.raw:
            return acc.clamp_min(0) if self.relu else acc
        m = torch.ldexp(self.multiplier.double(), -self.shift)
        return requantize(self.quant_min, self.quant_max, acc, m.reshape(-1, *[1] * (acc.ndim - 2)))

    def accumulate(self, q: torch.Tensor) -> torch.Tensor:
        """Return the exact accumulator of integer-valued `q`, float32 where that is proven exact, else float64."""
        weight, bias = self.integers()
        low, high = self.inputs[0].quant_min, self.inputs[0].quant_max
        bound = weight.detach().abs().flatten(1).double().sum(1) * max(-low, high) + bias.detach().abs()
        dtype = torch.float32 if float(bound.max()) < EXACT_FLOAT32 else torch.float64
        return self._apply_layer(q.to(dtype), weight.to(dtype), bias.to(dtype))

    def integers(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return integer-valued weight (float32) and bias (float64), differentiable."""
        weight, bias = self.folded()
        scale = self.weight_scale
        weight = quantize(weight / _per_channel(scale.float(), weight.ndim), -WEIGHT_MAX, WEIGHT_MAX)
        return weight, quantize(bias.double() / (scale * self.inputs[0].scale), -BIAS_LIMIT, BIAS_LIMIT)

    @torch.no_grad()
    def refresh(self) -> None:
        """Take weight scales, multipliers and shifts from the current weights."""
        self.inputs[0].require_calibrated()
        weight, bias = (part.double() for part in self.folded())
        scale_in = self.inputs[0].scale
        scale = torch.maximum(weight.abs().flatten(1).amax(1) / WEIGHT_MAX, bias.abs() / (scale_in * BIAS_MAX))
        self.weight_scale.copy_(scale.clamp_min(MIN_WEIGHT_SCALE))
        if not self.raw:
            self.require_calibrated()
            multiplier, shift = quantize_multiplier((scale_in * self.weight_scale / self.scale).cpu().numpy())
            self.multiplier.copy_(torch.from_numpy(multiplier))
            self.shift.copy_(torch.from_numpy(shift))

    def dequantize(self, q: torch.Tensor) -> torch.Tensor:
        if not self.raw:
            return super().dequantize(q)
        scale = (self.weight_scale * self.inputs[0].scale).float()
        return q.float() * scale.reshape(-1, *[1] * (q.ndim - 2))

    def _apply_layer(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        layer = self.layer
        if isinstance(layer, nn.Linear):
            return F.linear(x, weight, bias)
        return F.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)


def _per_channel(values: torch.Tensor, ndim: int) -> torch.Tensor:
    return values.reshape(-1, *[1] * (ndim - 1))
