"""Curves for TensorBoard."""

from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from hatlite.engine.loop import Callback
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["TensorBoard"]


@OBJECT_REGISTRY.register
class TensorBoard(Callback):
    """Writes losses, learning rate and validation metrics; must stand after ``Validation``.

    Args:
        log_dir: Folder of all stages; None is ``tensorboard`` in the run's folder. Each stage has its own below.
        step_log_interval: Steps between two points of the losses.
    """

    first_process_only = True

    def __init__(self, log_dir: str | None = None, step_log_interval: int = 10) -> None:
        if step_log_interval < 1:
            raise ConfigError(
                f"TensorBoard: step_log_interval is {step_log_interval}; expected at least 1 step between two points."
            )
        self.log_dir = log_dir
        self.step_log_interval = step_log_interval
        self.writer: SummaryWriter | None = None

    def on_step_end(self, loop: Any) -> None:
        """Write the losses when it is due."""
        if loop.step % self.step_log_interval == 0:
            self._write(loop, {"lr": loop.lr, **{f"loss/{name}": float(loss) for name, loss in loop.losses.items()}})

    def on_epoch_end(self, loop: Any) -> None:
        """Write what validation measured."""
        self._write(loop, {f"val/{name}": value for name, value in loop.metrics.items()})

    def on_loop_end(self, loop: Any) -> None:
        """Close the file."""
        if self.writer is not None:
            self.writer.close()

    def _write(self, loop: Any, values: dict[str, float]) -> None:
        if self.writer is None:  # opened late: a resumed run then knows which points to replace
            folder = Path(self.log_dir) if self.log_dir else loop.run.folder / "tensorboard"
            self.writer = SummaryWriter(str(folder / loop.run.stage), purge_step=loop.step)
        for name, value in values.items():
            self.writer.add_scalar(name, value, loop.step)
