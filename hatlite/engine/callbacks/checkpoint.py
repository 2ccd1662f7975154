"""Write the best and the last checkpoint."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatlite.engine.checkpoint import describe, save_checkpoint
from hatlite.engine.loop import Callback
from hatlite.errors import ConfigError
from hatlite.files import whole_file
from hatlite.log import get_logger
from hatlite.registry import OBJECT_REGISTRY, nearest

__all__ = ["Checkpoint"]

logger = get_logger(__name__)


@OBJECT_REGISTRY.register
class Checkpoint(Callback):
    """Writes ``<prefix>checkpoint-last.pth.tar`` and, when the monitored metric rose, ``-best.pth.tar``.

    Must stand after ``Validation``, whose metrics it stores and monitors, and after everything that changes weights.

    Args:
        save_dir: Folder; None takes the run's.
        name_prefix: Start of the file names; None is the stage's name and a dash.
        save_interval: Epochs between two files; the last epoch and an interruption always write.
        monitor_metric_key: Metric that decides what is best.
        mode: ``"max"`` or ``"min"``.
    """

    def __init__(
        self,
        save_dir: str | None = None,
        name_prefix: str | None = None,
        save_interval: int = 1,
        monitor_metric_key: str = "mAP",
        mode: str = "max",
    ) -> None:
        if mode not in ("max", "min"):
            raise ConfigError(f"Checkpoint: mode is {mode!r}; expected 'max' or 'min'.")
        self.save_dir = save_dir
        self.name_prefix = name_prefix
        self.save_interval = save_interval
        self.monitor_metric_key = monitor_metric_key
        self.mode = mode
        self.best: float | None = None

    def path(self, loop: Any, which: str) -> Path:
        """Return the file of the ``"best"`` or ``"last"`` checkpoint."""
        prefix = f"{loop.run.stage}-" if self.name_prefix is None else self.name_prefix
        folder = loop.run.folder if self.save_dir is None else Path(self.save_dir)
        return folder / f"{prefix}checkpoint-{which}.pth.tar"

    def on_epoch_end(self, loop: Any) -> None:
        """Write when it is due or the metric is the best so far."""
        better = self._is_better(loop.metrics)
        if better:
            self.best = loop.metrics[self.monitor_metric_key]
        if better or loop.finished or loop.epoch % self.save_interval == 0:
            self._save(loop)
        if better:
            self._keep_as_best(loop)

    def on_loop_end(self, loop: Any) -> None:
        """Write `last` after an interruption; `best` stays what it was."""
        if loop.interrupted and loop.resumable:
            self._save(loop)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far."""
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the best value, so that a resumed run overwrites `best` only with something better."""
        self.best = state.get("best")

    def _is_better(self, metrics: Mapping[str, float]) -> bool:
        if not metrics:
            return False
        if self.monitor_metric_key not in metrics:
            raise ConfigError(
                f"Checkpoint monitors {self.monitor_metric_key!r}, which validation does not measure."
                f"{nearest(self.monitor_metric_key, list(metrics))}\n  Measured: {', '.join(metrics)}."
            )
        value = metrics[self.monitor_metric_key]
        return self.best is None or (value > self.best if self.mode == "max" else value < self.best)

    def _save(self, loop: Any) -> None:
        save_checkpoint({**describe(loop.model, loop.run), **loop.state_dict()}, self.path(loop, "last"))

    def _keep_as_best(self, loop: Any) -> None:
        with whole_file(self.path(loop, "best")) as unfinished:
            shutil.copyfile(self.path(loop, "last"), unfinished)
        logger.info("epoch %d: best %s so far, %.4f", loop.epoch, self.monitor_metric_key, self.best)
