"""Convolution or linear layer with its batch norm and ReLU, in the arithmetic of the accelerator."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from hatlite.qparams import QParams
from hatlite.quantization.integer_conv import ConvConstants, fold, integer_conv
from hatlite.quantization.scale_grid import on_grid
from hatlite.quantization.sites.batch_statistics import BatchStatistics
from hatlite.quantization.sites.rounding import RoundingSite
from hatlite.quantization.straight_through import pass_through
from hatlite.quantization.weight_scales import WEIGHT_ROUNDINGS, bias_range, weight_scales

__all__ = ["ConvSite"]


class ConvSite(RoundingSite):
    """``conv2d`` or ``linear``, its batch norm folded with running statistics, and optionally a ReLU.

    Accumulator: acc = Σ q_x·q_w + q_b at scale Sx·Sw per output channel; result: requantised to int8, uint8 or int16,
    or the raw accumulator for dtype int32. Gradients reach the real weight, gamma and beta through the fold.

    Args:
        layer: The network's own Conv2d or Linear; shared by all sites that call it.
        batch_norm: The network's own BatchNorm2d, or None.
        site: What :class:`Site` takes.

    Attributes:
        weight_scale: (C,) float64 buffer Sw, per output channel, float32 values; snapped to what engines can share.
        ideal_weight_scale: (C,) float64 buffer: Sw before it was snapped.
    """

    weight_scale: torch.Tensor
    ideal_weight_scale: torch.Tensor

    def __init__(self, layer: nn.Conv2d | nn.Linear, batch_norm: nn.BatchNorm2d | None, **site: object) -> None:
        channels = self.channels_of(layer)
        super().__init__(channels, **site)
        self.layers = (layer, batch_norm)  # a tuple, so that the parameters stay where they are
        self._followed: tuple[BatchStatistics, ...] = ()
        for name in ("weight_scale", "ideal_weight_scale"):
            self.register_buffer(name, torch.full((channels,), float("nan"), dtype=torch.float64))

    @staticmethod
    def channels_of(layer: Any) -> int:
        """Return how many channels the accumulator of `layer` has."""
        return layer.weight.shape[0]

    @property
    def layer(self) -> Any:
        """The convolution or linear layer."""
        return self.layers[0]

    @property
    def geometry(self) -> tuple[Any, Any, Any, int]:
        """stride, padding, dilation and groups of the convolution that integers compute."""
        layer = self.layer
        linear = isinstance(layer, nn.Linear)
        return _POINTWISE if linear else (layer.stride, layer.padding, layer.dilation, layer.groups)

    @property
    def weight_dtype(self) -> str:
        """Kind of the weights, a key of ``WEIGHT_KINDS``: the one that its arithmetic has chosen."""
        return self.arithmetic.weight_dtypes[0]

    @property
    def raw(self) -> bool:
        """Whether the result is the accumulator itself."""
        return self.dtype == "int32"

    @property
    def has_scale(self) -> bool:
        """Whether the result has one scale; a raw accumulator has one per channel."""
        return not self.raw

    def parameters_of_fold(self) -> tuple[torch.Tensor | None, ...]:
        """Return weight (O, I / groups, h, w), bias, gamma and beta, real; None for what the layers do not have."""
        layer, bn = self.layers
        weight = layer.weight if layer.weight.ndim == 4 else layer.weight[:, :, None, None]
        return weight, layer.bias, *((None, None) if bn is None else (bn.weight, bn.bias))

    def statistics(self, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return running mean and variance (with epsilon) of the batch norm, (C,) of `dtype` each; None without one."""
        bn = self.layers[1]
        return None if bn is None else (bn.running_mean.to(dtype), bn.running_var.to(dtype) + bn.eps)

    def folded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight (O, I / groups, h, w) and bias with the batch norm folded in, real and differentiable."""
        weight, bias, gamma, beta = self.parameters_of_fold()
        bias = bias if bias is not None else weight.new_zeros(weight.shape[0])
        statistics = self.statistics(weight.dtype)
        if statistics is None:
            return weight, bias
        mean, variance = statistics
        factor = torch.rsqrt(variance)
        factor = factor if gamma is None else factor * gamma
        bias = (bias - mean) * factor
        weight = weight * factor.reshape(-1, 1, 1, 1)
        return weight, bias if beta is None else bias + beta

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        weight, bias = self._real_parameters()
        if isinstance(self.layer, nn.Linear):
            y = F.linear(inputs[0], weight.flatten(1), bias)
        else:
            y = F.conv2d(inputs[0], weight, bias, *self.geometry)
        clipped = self.simulation.activations and not self.raw  # at 0 as well, where there is a ReLU
        y = y.relu_() if self.relu and not clipped else y  # in place: the convolution's result is nobody else's
        return y if self.raw else self.observe(y)

    def _real_parameters(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return :meth:`folded` or :meth:`rounded`, remembered from batch to batch where no gradient shall flow."""
        make: Callable[[], tuple[torch.Tensor, torch.Tensor]] = self.folded
        layer, bn = self.layers
        sources = [layer.weight, layer.bias]
        if bn is not None:
            sources += [bn.running_mean, bn.running_var, bn.weight, bn.bias]
        if self.simulation.weights:
            make = self.rounded
            sources.append(self.weight_scale)
        if torch.is_grad_enabled():
            return make()
        return self.remember(make, *(source for source in sources if source is not None))

    def rounded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what :meth:`folded` gives, as integers of :attr:`weight_scale` stand for it; gradients pass.

        The bias is rounded where values have scale 1, so that its step is that of the weights. Elsewhere its step is so
        much finer that rounding it tells nothing, and depends on a scale of the input that may not be known yet.
        """
        weight, bias = self.folded()
        with torch.no_grad():
            integers = fold(self._without_scales(), weight, bias)
            columns = self.weight_scale.reshape(-1, *[1] * (weight.ndim - 1))
            real_weight = (integers.weight * columns).to(weight.dtype)
            real_bias = (integers.bias * self.weight_scale).to(bias.dtype)
        weight = pass_through(weight, real_weight)
        return weight, pass_through(bias, real_bias) if self.arithmetic.unit_scales else bias

    def _without_scales(self) -> ConvConstants:
        """Return the constants that round folded weights where the input and the result have scale 1."""
        unit, zeros = 1 / self.weight_scale, torch.zeros_like(self.weight_scale)
        return replace(self._constants(), mean=zeros, weight_unit=unit, bias_unit=unit, beta_unit=unit)

    def forward_integer(self, *inputs: torch.Tensor) -> torch.Tensor:
        x = inputs[0]
        self._follow(x)
        image = x[:, :, None, None] if x.ndim == 2 else x
        y = integer_conv(self.constants(), image, *self.parameters_of_fold(), watch=self.watch)
        return y.flatten(1) if x.ndim == 2 else y

    def follow_batches(self, known: dict[int, BatchStatistics]) -> None:
        """From now on move the statistics of the batch norm, if there is one, with the batches that are trained on.

        Args:
            known: Statistics by the identity of their batch norm; the first site that calls one owns them.
        """
        bn = self.layers[1]
        if bn is None:
            return
        if id(bn) not in known:
            known[id(bn)] = self.batch_statistics = BatchStatistics(bn)
        self._followed = (known[id(bn)],)

    def _follow(self, x: torch.Tensor) -> None:
        """Show the batch statistics the real results in front of the batch norm: a second convolution."""
        for statistics in self._followed:
            if self.training and not statistics.frozen:
                with torch.no_grad():
                    statistics.follow(self.layer(self.inputs[0].dequantize(x)))

    def constants(self) -> ConvConstants:
        """Return what is constant between two refreshes."""
        bn = self.layers[1]
        statistics = () if bn is None else (bn.running_mean, bn.running_var)
        sources = (self.scale, self.weight_scale, self.multiplier, self.shift, self.proven, self.inputs[0].scale)
        return self.remember(self._constants, *sources, *statistics)

    @torch.no_grad()
    def _constants(self) -> ConvConstants:
        zeros = torch.zeros_like(self.weight_scale)
        mean, variance = self.statistics(torch.float64) or (zeros, zeros + 1)
        inverse_std = variance.sqrt().reciprocal()
        source = self.inputs[0]
        clamped = not self.raw or self.relu
        return ConvConstants(
            mean=mean,
            weight_unit=inverse_std / self.weight_scale,
            bias_unit=inverse_std / (self.weight_scale * source.scale),
            beta_unit=1 / (self.weight_scale * source.scale),
            multiplier=None if self.raw else torch.ldexp(self.multiplier.double(), -self.shift).to(self.tail_dtype()),
            quant_min=self.quant_min if clamped else None,
            quant_max=self.quant_max,
            input_magnitude=max(-source.quant_min, source.quant_max),
            geometry=self.geometry,
            weight_range=self.arithmetic.weight_range(self.weight_dtype),
            bias_range=bias_range(self.arithmetic, source.dtype),
            round_weight=self.weight_rule.rounding(self.arithmetic),
            round_bias=WEIGHT_ROUNDINGS[self.arithmetic.weight_rounding],
            half_even=self.family.half_even,
        )

    @torch.no_grad()
    def integers(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight (O, I / groups, h, w) as integer-valued float32 and bias (O,) as float64."""
        folded = fold(self.constants(), *self.parameters_of_fold())
        return folded.weight, folded.bias

    @torch.no_grad()
    def refresh(self) -> None:
        """Take weight scales, multipliers and shifts from the current weights.

        Where weights are rounded on real values, weight scales are those that they have between values of scale 1.
        """
        weight, bias = (part.double() for part in self.folded())
        if self.simulation.weights:
            self.weight_scale.copy_(self._ideal_weight_scales(weight, bias, scale_in=1.0))
            return
        self.inputs[0].require_calibrated()
        scale = self._ideal_weight_scales(weight, bias)
        if not self.raw:
            self.require_calibrated()
            if self.rules():
                finest = self.family.finest_multiplier * float(self.scale / self.inputs[0].scale)
                scale = on_grid(scale.clamp_min(finest), self.scale_grid)
        self.ideal_weight_scale.copy_(scale)
        if self.raw or not (self.is_unit and self.inputs[0].is_unit):  # the latter has no integers yet
            self.weight_scale.copy_(scale)
            return
        source = self.inputs[0]
        largest = max(-source.quant_min, source.quant_max) * float(source.scale)
        found = self.snapped(scale, bias=bias, reach=weight.abs().flatten(1).sum(1) * largest)
        self.store(found)
        self.weight_scale.copy_(torch.from_numpy(found.weight_scale))

    def _ideal_weight_scales(
        self, weight: torch.Tensor, bias: torch.Tensor, scale_in: float | None = None
    ) -> torch.Tensor:
        depthwise = weight.shape[1] == 1 and self.geometry[3] > 1
        source = self.inputs[0]
        kind = QParams(float(source.scale) if scale_in is None else scale_in, source.dtype)
        choices = {"rule": self.weight_rule, "last": self.weight_scale}
        return weight_scales(weight, bias, kind, self.arithmetic, grid=self.scale_grid, depthwise=depthwise, **choices)

    @torch.no_grad()
    def step(self) -> float:
        weight, bias = (part.double() for part in self.folded())
        return float(self.inputs[0].scale * self._ideal_weight_scales(weight, bias).max())

    def ideal_ratio(self) -> torch.Tensor:
        return self.weight_scale / self.ideal_weight_scale

    def output_scale(self) -> torch.Tensor:
        return self.weight_scale * self.inputs[0].scale if self.raw else self.scale


_POINTWISE = ((1, 1), (0, 0), (1, 1), 1)
