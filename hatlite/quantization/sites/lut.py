"""A function of one value as a table: 256 entries, because there are 256 inputs."""

import copy

import torch
from torch import nn

from hatlite.nn import Exp
from hatlite.ops.integer.fixed_point import quantize
from hatlite.qparams import int_range
from hatlite.quantization.sites.base import Site
from hatlite.quantization.straight_through import lookup

__all__ = ["ENTRIES", "LUT_FUNCTIONS", "LutSite"]

ENTRIES = 256

LUT_FUNCTIONS: dict[type[nn.Module], bool] = {
    Exp: True,
    nn.Hardsigmoid: True,
    nn.Hardswish: False,
    nn.LeakyReLU: False,
    nn.ReLU6: True,
    nn.SiLU: False,
    nn.Sigmoid: True,
    nn.Tanh: False,
}
"""Functions that become tables, and whether they are ≥ 0 everywhere; all of them are where their input is."""


class LutSite(Site):
    """``y = clamp(floor(f(q · Sx) / Sy + ½))``, taken from float64 once and looked up from then on.

    The gradient is that of f at the real input, 0 where the result saturates.

    Args:
        function: One of :data:`LUT_FUNCTIONS`.
        site: What :class:`Site` takes.

    Attributes:
        table: (256,) int64 buffer, the entry of the smallest input first.
        slope: (256,) float32 buffer: f'(q · Sx) · Sx / Sy.
    """

    table: torch.Tensor
    slope: torch.Tensor

    def __init__(self, function: nn.Module, **site: object) -> None:
        super().__init__(**site)  # type: ignore[arg-type]
        function = copy.deepcopy(function)
        if hasattr(function, "inplace"):
            function.inplace = False  # others may read the input
        self.functions = (function,)  # a tuple, so that it is no child: it has nothing to learn
        self.register_buffer("table", torch.zeros(ENTRIES, dtype=torch.int64))
        self.register_buffer("slope", torch.zeros(ENTRIES))

    @property
    def nonnegative(self) -> bool:
        return LUT_FUNCTIONS[type(self.functions[0])] or self.inputs[0].nonnegative

    @property
    def lowest(self) -> int:
        """The integer whose entry is the first."""
        return int_range(self.inputs[0].dtype)[0]

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.observe(self.functions[0](inputs[0]))

    def forward_integer(self, *inputs: torch.Tensor) -> torch.Tensor:
        y = lookup(self.lowest, self.table.float(), self.slope, inputs[0])
        if self.watch is None:
            return y
        with torch.no_grad():
            unrounded = self.functions[0](inputs[0].double() * self.inputs[0].scale).div_(self.scale).float()
        return self.watch(y, unrounded)

    def refresh(self) -> None:
        """Take the table from the function and the two scales."""
        self.require_calibrated()
        scale_in, scale = float(self.inputs[0].scale), float(self.scale)
        with torch.enable_grad():
            real = (torch.arange(ENTRIES, dtype=torch.float64) + self.lowest).mul_(scale_in).requires_grad_()
            y = self.functions[0](real)
            (slope,) = torch.autograd.grad(y.sum(), real)
        self.table.copy_(torch.from_numpy(quantize(y.detach().numpy(), scale, self.dtype).astype("int64")))
        inside = (y >= (self.quant_min - 0.5) * scale) & (y <= (self.quant_max + 0.5) * scale)
        self.slope.copy_(torch.where(inside, slope * (scale_in / scale), 0.0))
