"""Running means of losses."""

from collections.abc import Mapping

import torch

from hatlite.registry import OBJECT_REGISTRY

__all__ = ["LossShow"]


@OBJECT_REGISTRY.register
class LossShow:
    """Mean of every loss since :meth:`reset`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start anew."""
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: dict[str, int] = {}

    def update(self, losses: Mapping[str, torch.Tensor | float]) -> None:
        """Add one step.

        Args:
            losses: Name to scalar. Tensors stay on their device, so that no step waits for it.
        """
        for name, loss in losses.items():
            value = torch.as_tensor(loss).detach().double()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def compute(self) -> dict[str, float]:
        """Return name to mean, in the order of first appearance; empty before the first step."""
        return {name: float(total) / self._counts[name] for name, total in self._sums.items()}
