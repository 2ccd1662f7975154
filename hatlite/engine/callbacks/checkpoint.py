"""Write the best and the last checkpoint."""

import hashlib
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
        keep_all: Keep every file that `save_interval` asks for as ``<prefix>checkpoint-NNNN.pth.tar`` too, NNNN being
            the finished epochs.
        save_hash: Write ``<file>.sha256`` beside each file, which ``sha256sum --check`` reads and so does
            ``LoadCheckpoint``, with its `check_hash`.
        strict_match: Both hold: a file has all weights under the names of the model that was trained.
    """

    first_process_only = True

    def __init__(
        self,
        save_dir: str | None = None,
        name_prefix: str | None = None,
        save_interval: int = 1,
        monitor_metric_key: str = "mAP",
        mode: str = "max",
        *,
        keep_all: bool = False,
        save_hash: bool = False,
        strict_match: bool = True,
    ) -> None:
        if save_interval < 1:
            raise ConfigError(f"Checkpoint: save_interval is {save_interval}; expected at least 1 epoch.")
        if mode not in ("max", "min"):
            raise ConfigError(f"Checkpoint: mode is {mode!r}; expected 'max' or 'min'.")
        self.save_dir = save_dir
        self.name_prefix = name_prefix
        self.save_interval = save_interval
        self.monitor_metric_key = monitor_metric_key
        self.mode = mode
        self.keep_all = keep_all
        self.save_hash = save_hash
        self.best: float | None = None

    def path(self, loop: Any, which: str) -> Path:
        """Return the file of the ``"best"``, the ``"last"`` or a numbered checkpoint."""
        return self.path_in(loop.run.folder, loop.run.stage, which)

    def path_in(self, folder: Path, stage: str, which: str) -> Path:
        """Return the file that :meth:`path` would be in a run with this `folder`, while `stage` trains."""
        prefix = f"{stage}-" if self.name_prefix is None else self.name_prefix
        return (folder if self.save_dir is None else Path(self.save_dir)) / f"{prefix}checkpoint-{which}.pth.tar"

    def on_epoch_end(self, loop: Any) -> None:
        """Write when it is due or the metric is the best so far.

        Raises:
            ConfigError: The metric is not measured; what the epoch has trained is written all the same.
        """
        if loop.metrics and self.monitor_metric_key not in loop.metrics:
            self._save(loop)
            raise ConfigError(self._not_measured(loop))
        better = self._is_better(loop.metrics)
        if better:
            self.best = loop.metrics[self.monitor_metric_key]
        due = loop.finished or loop.epoch % self.save_interval == 0
        if better or due:
            self._save(loop)
        if due and self.keep_all:
            self._keep_as(loop, f"{loop.epoch:04d}")
        if better:
            self._keep_as(loop, "best")
            logger.info("epoch %d: best %s so far, %.4f", loop.epoch, self.monitor_metric_key, self.best)

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

    def _not_measured(self, loop: Any) -> str:
        key = self.monitor_metric_key
        resumable = " Mend it and go on with --resume." if loop.resumable else ""
        return (
            f"Checkpoint monitors {key!r}, which validation does not measure.{nearest(key, list(loop.metrics))}"
            f"\n  Measured: {', '.join(loop.metrics)}.\n  The epoch is saved in {self.path(loop, 'last')}.{resumable}"
        )

    def _is_better(self, metrics: Mapping[str, float]) -> bool:
        if not metrics:
            return False
        value = metrics[self.monitor_metric_key]
        return self.best is None or (value > self.best if self.mode == "max" else value < self.best)

    def _save(self, loop: Any) -> None:
        save_checkpoint({**describe(loop.model, loop.run), **loop.state_dict()}, self.path(loop, "last"))
        self._hash(self.path(loop, "last"))

    def _keep_as(self, loop: Any, which: str) -> None:
        with whole_file(self.path(loop, which)) as unfinished:
            shutil.copyfile(self.path(loop, "last"), unfinished)
        self._hash(self.path(loop, which))

    def _hash(self, path: Path) -> None:
        beside = path.with_name(f"{path.name}.sha256")
        if not self.save_hash:
            beside.unlink(missing_ok=True)  # of an earlier run
            return
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with whole_file(beside) as unfinished:
            unfinished.write_text(f"{digest}  {path.name}\n", encoding="ascii")
