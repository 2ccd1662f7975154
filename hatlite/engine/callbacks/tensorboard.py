"""Curves for TensorBoard."""

from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from hatlite.engine.callbacks.scalars import ScalarWriter
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["TensorBoard"]


@OBJECT_REGISTRY.register
class TensorBoard(ScalarWriter):
    """Writes losses, learning rate and validation metrics; must stand after ``Validation``.

    Args:
        log_dir: Folder of all stages; None is ``tensorboard`` in the run's folder. Each stage has its own below.
        step_log_interval: Steps between two points of the losses; the last step of an epoch has one too.
    """

    def __init__(self, log_dir: str | None = None, step_log_interval: int = 10) -> None:
        super().__init__(step_log_interval)
        self.log_dir = log_dir
        self.writer: SummaryWriter | None = None

    def on_loop_end(self, loop: Any) -> None:
        """Close the file."""
        if self.writer is not None:
            self.writer.close()

    def write(self, loop: Any, values: dict[str, float]) -> None:
        """Add a point to the curve of each of `values`."""
        if self.writer is None:  # opened late: a resumed run then knows which points to replace
            folder = Path(self.log_dir) if self.log_dir else loop.run.folder / "tensorboard"
            self.writer = SummaryWriter(str(folder / loop.run.stage), purge_step=loop.step)
        for name, value in values.items():
            self.writer.add_scalar(name, value, loop.step)
