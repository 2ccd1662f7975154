"""Bring weight scales and multipliers up to date with the weights."""

from typing import Any

from hatlite.engine.loop import Callback
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["QuantRefresh"]


@OBJECT_REGISTRY.register
class QuantRefresh(Callback):
    """Calls ``network.refresh()`` on the trained and on the evaluation model at the end of every epoch.

    Must stand before ``Validation`` and ``Checkpoint``: both need integer constants that belong to the current weights.
    The qat stage puts it first by itself.
    """

    def on_epoch_end(self, loop: Any) -> None:
        """Refresh both models."""
        loop.model.network.refresh()
        if loop.evaluation_model is not loop.model:
            loop.evaluation_model.network.refresh()
