"""What becomes of a result on its way out of a site: it is observed, rounded where that is simulated, learned from."""

from typing import Any

import torch

from hatlite.errors import QuantizationError
from hatlite.quantization.sites.unit_scale import UnitScale
from hatlite.quantization.straight_through import Watch, learn_scale, round_between

__all__ = ["Watched"]


class Watched(UnitScale):
    """The part of a :class:`~hatlite.quantization.sites.Site` that looks at its results, real ones and integers."""

    def observe(self: Any, y: torch.Tensor) -> torch.Tensor:
        """Hand a float result to the observer and return it, rounded to steps of the scale where that is simulated.

        Raises:
            QuantizationError: A value is NaN or infinite; the message says where.
        """
        if self.observer is not None and self.simulation.observed:
            try:
                self.observer.observe(y)
            except QuantizationError as problem:
                raise QuantizationError(f"{self.path} ({self.line}): {problem}") from None
        return self._rounded(y) if self.simulation.activations else y

    def _rounded(self: Any, y: torch.Tensor) -> torch.Tensor:
        scale = self.scale.float()
        unrounded = y / scale
        steps = round_between(self.quant_min, self.quant_max, unrounded)
        return (steps if self.watch is None else self.watch(steps, unrounded)) * scale

    @property
    def watch(self: Any) -> Watch | None:
        """What is shown every result before it is rounded; None where nothing learns or moves by it."""
        return self._watch if self._moves or self.learned is not None else None

    @property
    def _moves(self: Any) -> bool:
        running = self.running_range is not None and not self.is_fixed
        return running and self.training and not self.running_range.frozen  # type: ignore[union-attr]

    def _watch(self: Any, y: torch.Tensor, unrounded: torch.Tensor) -> torch.Tensor:
        if self.running_range is not None and self._moves and self.observer is not None:
            try:
                self.running_range.show(unrounded, self.observer, self.relu)
            except QuantizationError:
                raise QuantizationError(
                    f"{self.path} ({self.line}): qat met a value that is NaN, infinite or beyond all ranges; weights"
                    " have diverged: lower the learning rate, or start from others."
                ) from None
        return y if self.learned is None else learn_scale(self.quant_min, self.quant_max, self.learned, y, unrounded)
