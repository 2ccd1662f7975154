"""Validation between epochs."""

from typing import Any

from hatlite.engine.evaluation import evaluate
from hatlite.engine.loop import Callback
from hatlite.errors import ConfigError
from hatlite.log import get_logger
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["Validation"]

logger = get_logger(__name__)


@OBJECT_REGISTRY.register
class Validation(Callback):
    """Evaluates ``loop.evaluation_model`` and leaves the result in ``loop.metrics``.

    Must stand after ``ExponentialMovingAverage``, whose average it measures, and before ``Checkpoint``, which stores
    what it measured.

    Args:
        data_loader: Validation batches.
        val_metrics: Metric; None takes the loop's ``val_metrics``.
        val_interval: Epochs between two validations.
        val_on_train_end: Validate after the last epoch even if the interval does not ask for it.
    """

    def __init__(
        self, data_loader: Any, val_metrics: Any = None, val_interval: int = 1, val_on_train_end: bool = True
    ) -> None:
        if val_interval < 1:
            raise ConfigError(f"Validation: val_interval is {val_interval}; expected at least 1 epoch.")
        self.data_loader = data_loader
        self.val_metrics = val_metrics
        self.val_interval = val_interval
        self.val_on_train_end = val_on_train_end

    def on_epoch_end(self, loop: Any) -> None:
        """Validate when it is due; otherwise forget the older result."""
        last = self.val_on_train_end and loop.finished
        loop.metrics = {}
        if not last and loop.epoch % self.val_interval:
            return
        metrics = self.val_metrics or loop.val_metrics
        if metrics is None:
            raise ConfigError("Validation has nothing to measure with; give the trainer or Validation val_metrics.")
        loop.metrics = evaluate(
            loop.evaluation_model, self.data_loader, metrics, device=loop.device, channels_last=loop.channels_last
        )
        shown = ", ".join(f"{name} {value:.4f}" for name, value in loop.metrics.items() if "/" not in name)
        logger.info("epoch %d: %s", loop.epoch, shown)
