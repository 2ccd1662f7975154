"""Sites without weights: the input, rescales, pools, resizes and concatenations."""

import math

import torch
from torch.nn import functional as F

from hatlite.errors import QuantizationError
from hatlite.ops.integer.engine_rules import FLOAT32_EXACT
from hatlite.qparams import int_type
from hatlite.quantization.sites.base import Site
from hatlite.quantization.sites.rounding import RoundingSite
from hatlite.quantization.straight_through import requantize

__all__ = [
    "AvgPoolSite",
    "BilinearSite",
    "ConcatSite",
    "InputSite",
    "MaxPoolSite",
    "NearestSite",
    "PadSite",
    "PassingSite",
    "RescaleSite",
]

Pair = tuple[int, int]


class InputSite(Site):
    """The image enters: q = clamp(floor(x / scale + ½)) in float64; no gradient leaves through the image.

    Args:
        site: What :class:`Site` takes.
    """

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.observe(inputs[0])

    def forward_integer(self, *inputs: torch.Tensor) -> torch.Tensor:
        self.require_calibrated()
        unrounded = inputs[0].detach().double().div_(self.scale)
        q = (unrounded + 0.5).floor_().clamp_(self.quant_min, self.quant_max).float()
        return q if self.watch is None else self.watch(q, unrounded.float())


class RescaleSite(RoundingSite):
    """Another scale or type, or a ReLU that no convolution took along: one multiplier, one shift."""

    WEIGHT_SUM = 1
    """What one unit of the input counts for in the accumulator."""

    def __init__(self, **site: object) -> None:
        super().__init__(1, **site)

    @property
    def nonnegative(self) -> bool:
        return self.relu or self.inputs[0].nonnegative

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.observe(inputs[0].relu() if self.relu else inputs[0])

    def unit(self) -> float:
        return float(self.inputs[0].scale)

    def accumulate(self, q: torch.Tensor) -> torch.Tensor:
        """Return the integers that the multiplier takes."""
        return q

    def forward_integer(self, *inputs: torch.Tensor) -> torch.Tensor:
        factors, dtype = self.remember(self._factors, self.multiplier, self.shift, self.proven)
        acc = self.accumulate(inputs[0])
        clamp, half_even = (self.quant_min, self.quant_max), self.family.half_even
        return requantize(*clamp, factors, acc, dtype=dtype, half_even=half_even, watch=self.watch)

    def _factors(self) -> tuple[tuple[float, ...], torch.dtype]:
        return (math.ldexp(int(self.multiplier), -int(self.shift)),), self.tail_dtype()

    @torch.no_grad()
    def refresh(self) -> None:
        self.require_calibrated()
        self.store(self.snapped(torch.tensor([1 / self.WEIGHT_SUM], dtype=torch.float64)))


class BilinearSite(RescaleSite):
    """Bilinear ×2 with the scale of its input.

    As integers: nearest ×2, edge pad 1, depthwise [1 2 1] ⊗ [1 2 1], requantised by 1/16. Interpolation weights are
    quarters, so float32 carries 16 × the interpolated integers exactly.
    """

    WEIGHT_SUM = 16

    def take_scale(self) -> None:
        self.scale.copy_(self.inputs[0].scale)

    @property
    def source(self) -> Site:
        return self.inputs[0].source

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        return F.interpolate(inputs[0], scale_factor=2, mode="bilinear", align_corners=False)

    def accumulate(self, q: torch.Tensor) -> torch.Tensor:
        return self.forward_float(q) * self.WEIGHT_SUM


class AvgPoolSite(RescaleSite):
    """Mean of each window: a depthwise convolution with one weight, requantised. Padding counts.

    The weight is 1, requantised by Sx / (Sy · taps), where the march multiplies; where it only shifts, 1 / taps as an
    integer times a power of two.

    Args:
        kernel_size: (height, width); None takes the whole picture, of the size that the network was prepared with.
        stride: (vertical, horizontal).
        padding: (vertical, horizontal).
        site: What :class:`Site` takes.

    Attributes:
        weight_scale: (1,) float64 buffer: what one step of the weight stands for, snapped.
    """

    weight_scale: torch.Tensor

    def __init__(self, kernel_size: Pair | None, stride: Pair = (1, 1), padding: Pair = (0, 0), **site: object) -> None:
        super().__init__(**site)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.register_buffer("weight_scale", torch.full((1,), float("nan"), dtype=torch.float64))

    @property
    def kernel(self) -> Pair:
        """(height, width) of the window."""
        return self.kernel_size or self.inputs[0].shape[1:]  # type: ignore[return-value]

    @property
    def weight(self) -> int:
        """The integer that every pixel of a window is multiplied by."""
        return self.family.average_weight(math.prod(self.kernel))[0]

    def _ideal(self) -> float:
        return self.family.average_weight(math.prod(self.kernel))[1]

    def step(self) -> float:
        return self.unit() * self._ideal()

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        kernel = self.kernel_size or inputs[0].shape[2:]
        return self.observe(F.avg_pool2d(inputs[0], kernel, self.stride, self.padding))

    def tail_dtype(self) -> torch.dtype:
        return super().tail_dtype() if self._exact_in_float32() else torch.float64

    def _exact_in_float32(self) -> bool:
        return self.weight * math.prod(self.kernel) * int_type(self.inputs[0].dtype).magnitude < FLOAT32_EXACT

    def accumulate(self, q: torch.Tensor) -> torch.Tensor:
        if self.kernel_size is None and q.shape[2:] != self.kernel:
            sizes = ["×".join(map(str, size)) for size in (self.kernel, q.shape[2:])]
            raise QuantizationError(
                f"{self.path} ({self.line}) averages a whole picture of {sizes[0]}, but met {sizes[1]}; prepare the"
                " network with example inputs of the size that it will run on."
            )
        exact = q if self._exact_in_float32() else q.double()
        return F.avg_pool2d(exact, self.kernel, self.stride, self.padding, divisor_override=1).mul_(self.weight)

    @torch.no_grad()
    def refresh(self) -> None:
        self.require_calibrated()
        found = self.snapped(torch.tensor([self._ideal()], dtype=torch.float64))
        self.store(found)
        self.weight_scale.copy_(torch.from_numpy(found.weight_scale))

    def ideal_ratio(self) -> torch.Tensor:
        return self.weight_scale / self._ideal()


class PassingSite(Site):
    """An operation that selects among its input's integers: it keeps their scale and type."""

    @property
    def source(self) -> Site:
        return self.inputs[0].source

    def take_scale(self) -> None:
        self.scale.copy_(self.inputs[0].scale)

    @property
    def nonnegative(self) -> bool:
        return all(site.nonnegative for site in self.inputs)

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


class ConcatSite(PassingSite):
    """Channels one after the other; all inputs have one scale and one type (see ``quantization/scale_groups.py``)."""

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat(inputs, dim=1)


class PadSite(PassingSite):
    """Zeros around the picture.

    Args:
        edges: (top, bottom, left, right), in pixels.
        site: What :class:`Site` takes.
    """

    def __init__(self, edges: tuple[int, int, int, int], **site: object) -> None:
        super().__init__(**site)  # type: ignore[arg-type]
        self.edges = edges

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        top, bottom, left, right = self.edges
        return F.pad(inputs[0], (left, right, top, bottom))
