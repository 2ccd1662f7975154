"""Validation between epochs."""

from collections.abc import Sequence
from typing import Any

from hatlite.engine.callbacks.metric_updater import evaluation_updater
from hatlite.engine.evaluation import evaluate
from hatlite.engine.loop import Callback
from hatlite.errors import ConfigError
from hatlite.metrics import Metric
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["Validation"]


@OBJECT_REGISTRY.register
class Validation(Callback):
    """Evaluates ``loop.evaluation_model`` and leaves the result in ``loop.metrics``.

    Must stand after ``ExponentialMovingAverage``, whose average it measures, and before ``Checkpoint``, which stores
    what it measured.

    Args:
        data_loader: Validation batches.
        val_metrics: Metric, or a list; None takes the loop's ``val_metrics``.
        val_interval: Epochs between two validations.
        val_on_train_end: Validate after the last epoch even if the interval does not ask for it.
        callbacks: A ``MetricUpdater``, which says how the metrics are updated and logged.
        batch_processor: Ignored: evaluation needs no step. Accepted because configs of this format name one.
        val_model: The model of the trainer, or None for the same: there is no other, its average takes its place.
        init_with_train_model: Both hold: the evaluated model has the weights of the trained one, or their average.
    """

    def __init__(
        self,
        data_loader: Any,
        val_metrics: Metric | Sequence[Metric] | None = None,
        val_interval: int = 1,
        val_on_train_end: bool = True,
        *,
        callbacks: Sequence[Callback] = (),
        batch_processor: Any = None,
        val_model: Any = None,
        init_with_train_model: bool = False,
    ) -> None:
        if val_interval < 1:
            raise ConfigError(f"Validation: val_interval is {val_interval}; expected at least 1 epoch.")
        self.updater = evaluation_updater(callbacks, "Validation")
        self.data_loader = data_loader
        self.val_metrics = val_metrics
        self.val_interval = val_interval
        self.val_on_train_end = val_on_train_end
        self.val_model = val_model

    def on_loop_begin(self, loop: Any) -> None:
        """Refuse to validate something that is not trained."""
        if self.val_model not in (None, loop.model):
            raise ConfigError(
                "Validation: val_model is another model than the trainer's; hatlite validates the trained one, or its"
                " moving average, in eval mode. Leave val_model out."
            )

    def on_epoch_end(self, loop: Any) -> None:
        """Validate when it is due; otherwise forget the older result."""
        last = self.val_on_train_end and loop.finished
        loop.metrics = {}
        if not last and loop.epoch % self.val_interval:
            return
        metrics = self.val_metrics or loop.val_metrics
        if metrics is None:
            raise ConfigError("Validation has nothing to measure with; give the trainer or Validation val_metrics.")
        measured = self.updater.fed(metrics)
        loop.metrics = evaluate(
            loop.evaluation_model, self.data_loader, measured, device=loop.device, channels_last=loop.channels_last
        )
        if loop.epoch % self.updater.epoch_log_freq == 0 or last:
            values = {name: value for name, value in loop.metrics.items() if "/" not in name}
            self.updater.log(values, f"epoch {loop.epoch}")
