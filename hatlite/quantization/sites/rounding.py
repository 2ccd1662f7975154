"""What sites that round have in common: a multiplier, a shift, and how much is proven about them."""

from collections.abc import Callable
from typing import TypeVar

import torch

from hatlite.ops.integer.engine_rules import ConvRule
from hatlite.ops.integer.snap import Snap
from hatlite.qparams import int_type
from hatlite.quantization.sites.base import Site

__all__ = ["RoundingSite"]

T = TypeVar("T")

BITS_WITHOUT_TIES = 8
"""Up to here every way to round a half is one function, so that rules of float engines can be proven."""


class RoundingSite(Site):
    """A site that brings accumulators to its own scale.

    Args:
        channels: Length of the buffers.
        site: What :class:`Site` takes.

    Attributes:
        multiplier: int64 buffer M.
        shift: int64 buffer s.
        proven: (C,) int64 buffer: how many rules of :mod:`hatlite.ops.integer.engine_rules` give the defined result,
            from the first on; −1 where the export's own formula does not make M · 2^−s.
    """

    multiplier: torch.Tensor
    shift: torch.Tensor
    proven: torch.Tensor

    NEEDED = 1
    """Rules that must be proven before the tail may run in float32."""

    def __init__(self, channels: int, **site: object) -> None:
        super().__init__(**site)  # type: ignore[arg-type]
        for name, value in (("multiplier", 1), ("shift", 1), ("proven", -1)):
            self.register_buffer(name, torch.full((channels,), value, dtype=torch.int64))
        self._memory: tuple[tuple, object] | None = None

    def unit(self) -> float:
        """Return the largest real value that one step of an input stands for in the result; 0 where weights decide."""
        return 0.0

    def step(self) -> float:
        """Return the real value of one step of the accumulator, the largest of all channels."""
        return self.unit()

    def finest_scale(self) -> float:
        """Return the finest scale that multipliers can reach, or that is worth reaching."""
        finest = self.step() if self.family.keeps_steps else self.unit() / self.family.largest_gain
        return float(torch.tensor(finest, dtype=torch.float32))

    def rules(self) -> tuple[ConvRule, ...]:
        """Return the rules worth proving for this result."""
        if int_type(self.dtype).bytes * 8 > BITS_WITHOUT_TIES:
            return ()
        return self.family.conv_rules

    def tail_dtype(self) -> torch.dtype:
        """Return the float type in which the tail is exact."""
        return torch.float32 if bool((self.proven >= self.NEEDED).all()) else torch.float64

    def remember(self, make: Callable[[], T], *sources: torch.Tensor) -> T:
        """Return ``make()``, made anew only when one of the tensors it reads has changed."""
        key = tuple((id(source), source.data_ptr(), source._version) for source in sources)
        if self._memory is None or self._memory[0] != key:
            self._memory = (key, make())
        return self._memory[1]  # type: ignore[return-value]

    def store(self, found: Snap) -> None:
        """Take over multipliers, shifts and what is proven."""
        for buffer, values in (
            (self.multiplier, found.multiplier),
            (self.shift, found.shift),
            (self.proven, found.rank),
        ):
            buffer.copy_(torch.from_numpy(values))

    def snapped(self, weight_scale: torch.Tensor, **real: torch.Tensor) -> Snap:
        """Return certified multipliers near Sx · weight_scale / Sy; `real` is bias and reach of :func:`snap`."""
        arrays = {name: value.detach().cpu().numpy() for name, value in real.items()}
        clamp = (self.quant_min, self.quant_max)
        ideal = weight_scale.detach().cpu().numpy()
        scale_in, scale_out = float(self.inputs[0].scale), float(self.scale)
        return self.family.snap(ideal, scale_in, scale_out, clamp, self.rules(), **arrays)
