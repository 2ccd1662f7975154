"""Losses, learning rate and metrics of a stage as plain data: what curves are drawn from."""

import json
import math
from pathlib import Path
from typing import Any

from hatlite.analysis.curves import SCALARS, parse_scalars
from hatlite.engine.loop import Callback
from hatlite.errors import ConfigError
from hatlite.files import naming_output, whole_file
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["ScalarLog", "ScalarWriter"]


class ScalarWriter(Callback):
    """Hands losses, learning rate and validation metrics to :meth:`write`; must stand after ``Validation``.

    Args:
        step_log_interval: Steps between two points of the losses; the last step of an epoch has one too.
    """

    first_process_only = True

    def __init__(self, step_log_interval: int = 10) -> None:
        if step_log_interval < 1:
            raise ConfigError(
                f"{type(self).__name__}: step_log_interval is {step_log_interval}; expected at least 1 step between"
                " two points."
            )
        self.step_log_interval = step_log_interval

    def on_step_end(self, loop: Any) -> None:
        """Write the losses when it is due, and at the end of an epoch, however short it is."""
        if loop.losses and (loop.step % self.step_log_interval == 0 or loop.step_in_epoch == loop.epoch_length):
            self.write(loop, {"lr": loop.lr, **{f"loss/{name}": float(loss) for name, loss in loop.losses.items()}})

    def on_epoch_end(self, loop: Any) -> None:
        """Write what validation measured."""
        if loop.metrics:
            self.write(loop, {f"val/{name}": value for name, value in loop.metrics.items()})

    def write(self, loop: Any, values: dict[str, float]) -> None:
        """Keep `values`, which are of ``loop.step``."""
        raise NotImplementedError


@OBJECT_REGISTRY.register
class ScalarLog(ScalarWriter):
    """Writes a line of JSON for each point into ``<stage>-scalars.jsonl`` in the run's folder.

    Every stage that goes over batches has one behind its other callbacks, unless its trainer lists one. A run that is
    resumed goes on behind the step of its checkpoint; one that starts anew begins the file anew. A value that is not
    finite becomes null.

    Args:
        step_log_interval: Steps between two points of the losses; the last step of an epoch has one too.
    """

    def __init__(self, step_log_interval: int = 10) -> None:
        super().__init__(step_log_interval)
        self.begun_at: int | None = None
        self.opened = False

    def on_epoch_begin(self, loop: Any) -> None:
        """Note where this run begins."""
        if self.begun_at is None:
            self.begun_at = loop.step

    def path(self, loop: Any) -> Path:
        """Return the file."""
        return loop.run.folder / f"{loop.run.stage}{SCALARS}"

    def write(self, loop: Any, values: dict[str, float]) -> None:
        """Append a line, with ``step`` and ``epoch`` before `values`."""
        epoch = round(loop.epoch + loop.step_in_epoch / loop.steps_per_epoch, 4)
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        path = self.path(loop)
        if not self.opened:  # late: what fails before its first point leaves the file of an earlier run
            self.opened = True
            with whole_file(path) as unfinished:
                unfinished.write_text("".join(_lines_until(path, self.begun_at or 0)), encoding="utf-8")
        with naming_output(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": loop.step, "epoch": epoch, **finite}) + "\n")


def _lines_until(path: Path, step: int) -> list[str]:
    """Return the whole lines of `path` up to `step`; what a crash has broken is not worth stopping a training for."""
    if not step or not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    rows = ((line, parse_scalars(line)) for line in lines if line.endswith("\n"))
    return [line for line, row in rows if row is not None and row["step"] <= step]
