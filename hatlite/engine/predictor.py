"""Evaluate a model, once."""

from collections.abc import Sequence
from typing import Any

import torch

from hatlite.engine.callbacks.metric_updater import evaluation_updater
from hatlite.engine.device import place, resolve_device
from hatlite.engine.evaluation import evaluate
from hatlite.errors import ConfigError
from hatlite.metrics import Metric
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["Predictor"]


@OBJECT_REGISTRY.register
class Predictor:
    """Measures `model` on `data_loader`, whatever runs inside its network: float, fake-quant or integers.

    Args:
        model: A detector with its weights loaded.
        data_loader: Batches of images with ground truth; also as a list of one.
        metrics: ``bind / reset / update / compute``, or a list of such.
        batch_processor: Ignored: evaluation needs no step. Accepted because configs of this format name one.
        callbacks: A ``MetricUpdater``, which says how the metrics are updated.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:0"``; None is the CPU.
        channels_last: Memory layout of images and weights.
        model_convert_pipeline: How `model` comes into the form that its stage leaves; None is the way of its kind
            (:mod:`hatlite.engine.conversion`).
        log_interval: Batches between two lines of the log; None and 0 are for none.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        data_loader: Any,
        metrics: Metric | Sequence[Metric] | None = None,
        *,
        batch_processor: Any = None,
        callbacks: Sequence[Any] = (),
        device: str | torch.device | None = None,
        channels_last: bool = True,
        model_convert_pipeline: Any = None,
        log_interval: int | None = None,
    ) -> None:
        if metrics is None or metrics == []:
            raise ConfigError("Predictor has nothing to measure with; give it metrics, or the config val_metrics.")
        if log_interval is not None and log_interval < 0:
            raise ConfigError(f"Predictor: log_interval is {log_interval}; expected 0 or more batches.")
        self.model = model
        self.log_interval = log_interval
        self.data_loader = _only(data_loader)
        self.metrics = evaluation_updater(callbacks, "Predictor").fed(metrics)
        self.device = resolve_device(device)
        self.channels_last = channels_last
        self.model_convert_pipeline = model_convert_pipeline

    def predict(self) -> dict[str, float]:
        """Return what :func:`hatlite.engine.evaluation.evaluate` measures."""
        place(self.model, self.device, self.channels_last)
        return evaluate(
            self.model,
            self.data_loader,
            self.metrics,
            device=self.device,
            channels_last=self.channels_last,
            log_interval=self.log_interval,
        )


def _only(data_loader: Any) -> Any:
    """Return `data_loader`, or what it has as its one item if it is a list."""
    if not isinstance(data_loader, (list, tuple)):
        return data_loader
    if len(data_loader) != 1:
        raise ConfigError(f"Predictor: data_loader is a list of {len(data_loader)}; a detector has one, so give one.")
    return data_loader[0]
