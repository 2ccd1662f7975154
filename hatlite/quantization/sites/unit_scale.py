"""Scales on a march where every value has scale 1: found like others, then folded into the weights, and held."""

from typing import Any

import torch
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.log import get_logger

__all__ = ["UnitScale"]

logger = get_logger(__name__)


class UnitScale(nn.Module):
    """What a :class:`~hatlite.quantization.sites.Site` does about unit scales; where the march has none, nothing.

    Attributes:
        cap: float64 scalar buffer: what the largest integer stood for before the gain edit, NaN until then; None where
            scales are free.
    """

    cap: torch.Tensor | None

    def keep_cap(self: Any) -> None:
        """Register :attr:`cap` where the scale is one of its own and will be folded."""
        keeps = self.arithmetic.unit_scales and self.observer is not None
        self.register_buffer("cap", torch.full((), float("nan"), dtype=torch.float64) if keeps else None)

    def largest_value(self: Any) -> float:
        """Return what the largest integer stands for."""
        return self.quant_max * float(self.scale)

    @property
    def is_edited(self: Any) -> bool:
        """Whether the real range of the result is part of the weights."""
        return self.cap is not None and not bool(torch.isnan(self.cap))

    def take_unit_scale(self: Any) -> None:
        """Keep the cap and take the scale that the march has, the weights having taken the one there was."""
        if self.cap is None:
            self.take_scale()
            return
        self.cap.fill_(self.largest_value())
        self._ask(self.arithmetic.unit_scale(self.dtype) or 1.0)
        self.scale.copy_(self.asked_scale)

    def hold_unit_scale(self: Any) -> None:
        """Let nothing move the scale of a result whose range is part of the weights."""
        if not self.is_edited:
            return
        unit = float(self.scale)
        self.fixed = lambda steps: unit
        if self.log_scale is not None:
            nn.init.zeros_(self.log_scale).requires_grad_(False)

    @property
    def is_unit(self: Any) -> bool:
        """Whether the scale is the one that the march has for such values, if it has no other."""
        unit = self.arithmetic.unit_scale(self.dtype)
        return unit is None or float(self.scale) == unit

    def require_integers(self: Any) -> None:
        """Raise when the scale is none that integers of the march can have."""
        self.require_calibrated()
        if not self.is_unit:
            raise QuantizationError(
                f"{self.path} ({self.line}) has the scale {float(self.scale):g}, where the march computes with"
                f" {self.arithmetic.unit_scale(self.dtype):g} only: fold real ranges into the weights by the gain edit,"
                " the first thing that the stage behind training with rounded activations does."
            )

    def say_floor(self: Any) -> None:
        """Say where a range is that of the weights, since calibration has seen less than these can tell apart."""
        if self.cap is not None and self.free and float(self.scale) > float(self.asked_scale):
            asked = float(self.asked_scale) * self.quant_max
            logger.warning(
                "%s reached %.4g in calibration, less than one step of its weights makes; its cap is %.4g, the least"
                " that they allow. A layer that never fires is of no use: train it again, or leave it out.",
                self.path,
                asked,
                self.largest_value(),
            )
