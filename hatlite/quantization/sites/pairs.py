"""Sites of two inputs: additions, subtractions and products."""

import math

import torch

from hatlite.ops.integer.engine_rules import ADD_RULES, FLOAT32_EXACT, ConvRule
from hatlite.ops.integer.snap import ADD_CANDIDATES, Addition, AddSnap, MulSnap
from hatlite.qparams import int_type
from hatlite.quantization.sites.rounding import RoundingSite
from hatlite.quantization.straight_through import requantize

__all__ = ["AddSite", "MulSite", "SubSite"]


class AddSite(RoundingSite):
    """``a + b`` and optionally a ReLU: (a·Ma + b·Mb + 2^(s−1)) >> s with 20-bit multipliers."""

    NEEDED = 2  # float32, with and without a fused multiply-add
    SIGNS = (1, 1)
    """Of a and of b in the sum."""

    def __init__(self, **site: object) -> None:
        super().__init__(1, **site)
        self.multiplier = torch.ones(2, dtype=torch.int64)

    @property
    def nonnegative(self) -> bool:
        return self.relu or all(site.nonnegative for site in self.inputs)

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        y = torch.add(*inputs, alpha=self.SIGNS[1])
        return self.observe(y.relu_() if self.relu else y)

    def forward_integer(self, *inputs: torch.Tensor) -> torch.Tensor:
        factors, dtype = self.remember(self._factors, self.multiplier, self.shift, self.proven)
        clamp, half_even = (self.quant_min, self.quant_max), self.family.half_even
        return requantize(*clamp, factors, *inputs, dtype=dtype, half_even=half_even, watch=self.watch)

    def _factors(self) -> tuple[tuple[float, ...], torch.dtype]:
        signed = (sign * m for sign, m in zip(self.SIGNS, self.multiplier.tolist(), strict=True))
        return tuple(math.ldexp(m, -int(self.shift)) for m in signed), self.tail_dtype()

    def take_scale(self) -> None:
        """Take the scale that is asked for, moved to where all pairs of inputs round alike everywhere."""
        super().take_scale()
        if self.movable and not self.tied:
            self.scale.fill_(self._snap(ADD_CANDIDATES).scale)

    @torch.no_grad()
    def refresh(self) -> None:
        self.require_calibrated()
        found = self._snap(1)
        self.multiplier.copy_(torch.tensor(found.multipliers))
        self.shift.fill_(found.shift)
        self.proven.fill_(found.rank)

    def unit(self) -> float:
        return max(float(site.scale) for site in self.inputs)

    def step(self) -> float:
        return min(float(site.scale) for site in self.inputs)

    def addition(self) -> Addition:
        """Return the integer facts that its certificate is about."""
        eight_bits = all(int_type(dtype).bytes == 1 for dtype in (self.dtype, *(site.dtype for site in self.inputs)))
        first, second = self.inputs
        return Addition(
            ranges=((first.quant_min, first.quant_max), (second.quant_min, second.quant_max)),
            clamp=(self.quant_min, self.quant_max),
            rules=ADD_RULES if eight_bits else (),
            signs=self.SIGNS,
        )

    def _snap(self, candidates: int) -> AddSnap:
        first, second = (float(site.scale) for site in self.inputs)
        return self.family.snap_add((first, second), float(self.scale), self.addition(), candidates)


class SubSite(AddSite):
    """``a − b``: an addition whose second multiplier is negative."""

    SIGNS = (1, -1)

    @property
    def nonnegative(self) -> bool:
        return self.relu


class MulSite(RoundingSite):
    """``a · b`` and optionally a ReLU: the product is the accumulator of one 15-bit multiplier, Sa · Sb / Sy."""

    def __init__(self, **site: object) -> None:
        super().__init__(1, **site)

    @property
    def nonnegative(self) -> bool:
        return self.relu or all(site.nonnegative for site in self.inputs)

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        y = inputs[0] * inputs[1]
        return self.observe(y.relu_() if self.relu else y)

    def forward_integer(self, *inputs: torch.Tensor) -> torch.Tensor:
        factors, dtype = self.remember(self._factors, self.multiplier, self.shift, self.proven)
        a, b = inputs if self._exact_in_float32() else (q.double() for q in inputs)
        clamp, half_even = (self.quant_min, self.quant_max), self.family.half_even
        return requantize(*clamp, factors, a * b, dtype=dtype, half_even=half_even, watch=self.watch)

    def unit(self) -> float:
        return math.prod(float(site.scale) for site in self.inputs)

    def _factors(self) -> tuple[tuple[float, ...], torch.dtype]:
        return (math.ldexp(int(self.multiplier), -int(self.shift)),), self.tail_dtype()

    def _exact_in_float32(self) -> bool:
        return math.prod(int_type(site.dtype).magnitude for site in self.inputs) < FLOAT32_EXACT

    def rules(self) -> tuple[ConvRule, ...]:
        return super().rules() if self._exact_in_float32() else ()

    def take_scale(self) -> None:
        """Take the scale that is asked for, moved to where the product is proven to round alike everywhere."""
        super().take_scale()
        if self.movable and not self.tied:
            self.scale.fill_(self._snap(ADD_CANDIDATES).scale)

    @torch.no_grad()
    def refresh(self) -> None:
        self.require_calibrated()
        found = self._snap(1)
        self.multiplier.fill_(found.multiplier)
        self.shift.fill_(found.shift)
        self.proven.fill_(found.rank)

    def _snap(self, candidates: int) -> MulSnap:
        first, second = (float(site.scale) for site in self.inputs)
        clamp = (self.quant_min, self.quant_max)
        return self.family.snap_mul((first, second), float(self.scale), clamp, self.rules(), candidates)
