"""Sites without weights: the input, additions, rescales, pools and resizes."""

import torch
from torch.nn import functional as F

from hatlite.ops.integer.fixed_point import quantize_add_multipliers, quantize_multiplier
from hatlite.quantization.sites.base import Site
from hatlite.quantization.straight_through import requantize

__all__ = ["AddSite", "BilinearSite", "InputSite", "MaxPoolSite", "NearestSite", "PassingSite", "RescaleSite"]


class InputSite(Site):
    """The image enters: q = clamp(floor(x / scale + ½)) in float64; no gradient leaves through the image.

    Args:
        fixed_scale: Scale given by the QuantStub; None takes it from calibration.
        site: What :class:`Site` takes.
    """

    def __init__(self, fixed_scale: float | None, **site: object) -> None:
        super().__init__(**site)  # type: ignore[arg-type]
        if fixed_scale is not None:
            self.observer = None
            self.scale.fill_(fixed_scale)

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.observe(inputs[0])

    def forward_integer(self, *inputs: torch.Tensor) -> torch.Tensor:
        self.require_calibrated()
        q = inputs[0].detach().double().div_(self.scale).add_(0.5).floor_()
        return q.clamp_(self.quant_min, self.quant_max).float()


class RescaleSite(Site):
    """Another scale or type, or a ReLU that no convolution took along: one multiplier, one shift."""

    multiplier: torch.Tensor
    shift: torch.Tensor

    def __init__(self, **site: object) -> None:
        super().__init__(**site)  # type: ignore[arg-type]
        self.register_buffer("multiplier", torch.ones(1, dtype=torch.int64))
        self.register_buffer("shift", torch.ones(1, dtype=torch.int64))

    def ratio(self) -> torch.Tensor:
        """Return what one unit of the accumulator is worth in units of the result."""
        return self.inputs[0].scale / self.scale

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.observe(inputs[0].relu() if self.relu else inputs[0])

    def accumulate(self, q: torch.Tensor) -> torch.Tensor:
        """Return the integers that the multiplier takes."""
        return q

    def forward_integer(self, *inputs: torch.Tensor) -> torch.Tensor:
        m = torch.ldexp(self.multiplier.double(), -self.shift)
        return requantize(self.quant_min, self.quant_max, self.accumulate(inputs[0]), m)

    @torch.no_grad()
    def refresh(self) -> None:
        self.require_calibrated()
        multiplier, shift = quantize_multiplier(self.ratio().reshape(1).cpu().numpy())
        self.multiplier.copy_(torch.from_numpy(multiplier))
        self.shift.copy_(torch.from_numpy(shift))


class BilinearSite(RescaleSite):
    """Bilinear ×2 with the scale of its input.

    As integers: nearest ×2, edge pad 1, depthwise [1 2 1] ⊗ [1 2 1], requantised by 1/16. Interpolation weights are
    quarters, so float32 carries 16 × the interpolated integers exactly.
    """

    WEIGHT_SUM = 16

    def finish_calibration(self) -> None:
        self.scale.copy_(self.inputs[0].scale)

    @property
    def nonnegative(self) -> bool:
        return self.inputs[0].nonnegative

    def ratio(self) -> torch.Tensor:
        return self.inputs[0].scale / (self.scale * self.WEIGHT_SUM)

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        return F.interpolate(inputs[0], scale_factor=2, mode="bilinear", align_corners=False)

    def accumulate(self, q: torch.Tensor) -> torch.Tensor:
        return self.forward_float(q) * self.WEIGHT_SUM


class AddSite(Site):
    """``a + b`` and optionally a ReLU: (a·Ma + b·Mb + 2^(s−1)) >> s with 20-bit multipliers."""

    multiplier: torch.Tensor
    shift: torch.Tensor

    def __init__(self, **site: object) -> None:
        super().__init__(**site)  # type: ignore[arg-type]
        self.register_buffer("multiplier", torch.ones(2, dtype=torch.int64))
        self.register_buffer("shift", torch.ones(1, dtype=torch.int64))

    @property
    def nonnegative(self) -> bool:
        return self.relu or all(site.nonnegative for site in self.inputs)

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        y = inputs[0] + inputs[1]
        return self.observe(y.relu() if self.relu else y)

    def forward_integer(self, *inputs: torch.Tensor) -> torch.Tensor:
        m = torch.ldexp(self.multiplier.double(), -self.shift)
        return requantize(self.quant_min, self.quant_max, inputs[0], m[0], inputs[1], m[1])

    @torch.no_grad()
    def refresh(self) -> None:
        self.require_calibrated()
        ratios = [float(site.scale / self.scale) for site in self.inputs]
        first, second, shift = quantize_add_multipliers(*ratios)
        self.multiplier.copy_(torch.tensor([int(first), int(second)]))
        self.shift.fill_(int(shift))


class PassingSite(Site):
    """An operation that selects among its input's integers: it keeps their scale and type."""

    def finish_calibration(self) -> None:
        self.scale.copy_(self.inputs[0].scale)

    @property
    def nonnegative(self) -> bool:
        return self.inputs[0].nonnegative

    def forward_integer(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.forward_float(*inputs)


class MaxPoolSite(PassingSite):
    """``max_pool2d``; padding never wins.

    Args:
        kernel_size: (height, width).
        stride: (vertical, horizontal).
        padding: (vertical, horizontal).
        site: What :class:`Site` takes.
    """

    def __init__(
        self, kernel_size: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], **site: object
    ) -> None:
        super().__init__(**site)  # type: ignore[arg-type]
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        return F.max_pool2d(inputs[0], self.kernel_size, self.stride, self.padding)


class NearestSite(PassingSite):
    """Pixels repeated `factor` times in both directions."""

    def __init__(self, factor: int, **site: object) -> None:
        super().__init__(**site)  # type: ignore[arg-type]
        self.factor = factor

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        return F.interpolate(inputs[0], scale_factor=self.factor, mode="nearest")
