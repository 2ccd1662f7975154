"""Metrics fed with what each step gives, in training and in evaluation."""

from collections.abc import Callable, Sequence
from typing import Any

from hatlite.engine.callbacks.stats import StatsMonitor
from hatlite.engine.loop import Callback
from hatlite.errors import ConfigError
from hatlite.log import get_logger
from hatlite.metrics.group import MetricGroup, UpdatedMetric
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["MetricUpdater", "evaluation_updater"]

logger = get_logger(__name__)


@OBJECT_REGISTRY.register
class MetricUpdater(Callback):
    """Feeds metrics and logs them: a trainer's ``train_metrics`` with every step's losses, or an evaluation's.

    Among the callbacks of a ``Validation`` or a ``Predictor`` it says how their metrics take in detections.

    Args:
        metric_update_func: Called as ``func(metrics, batch, outputs)``: `metrics` is a list, whose members take
            ``update(outputs)``; `outputs` are losses by name in training, a list of detections in evaluation. None
            calls exactly this for every member.
        step_log_freq: Steps of training between two lines; 0 for none. An evaluation has one line, at its end.
        epoch_log_freq: Epochs between two lines.
        log_prefix: Put before each name, with a space between a letter and the name.
    """

    first_process_only = True

    def __init__(
        self,
        metric_update_func: Callable[[Any, Any, Any], None] | None = None,
        step_log_freq: int = 0,
        epoch_log_freq: int = 1,
        log_prefix: str = "",
    ) -> None:
        if step_log_freq < 0 or epoch_log_freq < 1:
            raise ConfigError(
                f"MetricUpdater: step_log_freq is {step_log_freq} and epoch_log_freq {epoch_log_freq}; expected 0 or"
                " more steps and 1 or more epochs."
            )
        self.metric_update_func = metric_update_func
        self.step_log_freq = step_log_freq
        self.epoch_log_freq = epoch_log_freq
        self.log_prefix = log_prefix

    def on_epoch_begin(self, loop: Any) -> None:
        """Start the epoch's means anew."""
        MetricGroup.of(loop.train_metrics).reset()

    def on_step_end(self, loop: Any) -> None:
        """Take in the step's losses."""
        metrics = MetricGroup.of(loop.train_metrics)
        if self.metric_update_func is not None:
            self.metric_update_func(metrics, loop.batches[-1], loop.losses)
        else:
            metrics.update(loop.losses)
        if self.step_log_freq and loop.step % self.step_log_freq == 0:
            self._log(metrics, f"step {loop.step}")

    def on_epoch_end(self, loop: Any) -> None:
        """Log the means of the epoch."""
        if loop.epoch % self.epoch_log_freq == 0:
            self._log(MetricGroup.of(loop.train_metrics), f"epoch {loop.epoch}")

    def _log(self, metrics: MetricGroup, where: str) -> None:
        if metrics:
            self.log(metrics.compute(), where)

    def log(self, values: dict[str, float], where: str) -> None:
        """Log `values` in one line; `where` says what they are of."""
        prefix = f"{self.log_prefix} " if self.log_prefix[-1:].isalnum() else self.log_prefix
        shown = ", ".join(f"{prefix}{name} {float(value):.4f}" for name, value in values.items())
        logger.info("%s: %s", where, shown)

    def fed(self, metrics: Any) -> Any:
        """Return the metrics of an evaluation, one or a list, as one that is updated by this."""
        one = MetricGroup.of(metrics) if isinstance(metrics, (list, tuple)) else metrics
        return one if self.metric_update_func is None else UpdatedMetric(one, self.metric_update_func)


def evaluation_updater(callbacks: Sequence[Any], owner: str) -> MetricUpdater:
    """Return the ``MetricUpdater`` among the callbacks of an evaluation, or one that adds nothing.

    Args:
        callbacks: Of a ``Validation`` or ``Predictor``. A ``StatsMonitor`` may be there; evaluation shows a bar anyway.
        owner: Whose they are, for the message.

    Raises:
        ConfigError: There is another callback, or a second updater.
    """
    for callback in callbacks:
        if not isinstance(callback, (MetricUpdater, StatsMonitor)):
            raise ConfigError(
                f"{owner}: {type(callback).__name__} is among its callbacks, and an evaluation has no steps and epochs;"
                " expected a MetricUpdater, or put the callback into the trainer."
            )
    updaters = [callback for callback in callbacks if isinstance(callback, MetricUpdater)]
    if len(updaters) > 1:
        raise ConfigError(f"{owner}: {len(updaters)} MetricUpdaters would each update its metrics; leave one.")
    return updaters[0] if updaters else MetricUpdater()
