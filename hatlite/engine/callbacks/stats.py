"""What a person wants to see while training: loss, speed, time left, learning rate."""

import time
from typing import Any

from tqdm import tqdm

from hatlite.engine.loop import Callback
from hatlite.engine.processes import process
from hatlite.errors import ConfigError
from hatlite.log import get_logger
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["StatsMonitor"]

logger = get_logger(__name__)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


@OBJECT_REGISTRY.register
class StatsMonitor(Callback):
    """Shows a progress bar on a terminal and logs a line every `log_freq` steps.

    Images per second are those of all processes: each takes as many as the first, or one fewer. Loss and learning rate
    are there where something is trained.

    Args:
        log_freq: Steps between two lines.
        parts: Show every loss by its name behind their sum.
    """

    first_process_only = True

    def __init__(self, log_freq: int = 50, *, parts: bool = False) -> None:
        if log_freq < 1:
            raise ConfigError(f"StatsMonitor: log_freq is {log_freq}; expected at least 1 step between two lines.")
        self.log_freq = log_freq
        self.parts = parts
        self.bar: tqdm | None = None
        self.images = 0
        self.steps = 0
        self.started = 0.0

    def on_epoch_begin(self, loop: Any) -> None:
        """Open this epoch's bar."""
        label = f"{loop.run.stage} {loop.epoch + 1}/{loop.num_epochs}"
        total, initial = loop.epoch_length, loop.step_in_epoch
        self.bar = tqdm(total=total, initial=initial, desc=label, unit="step", leave=False, disable=None)
        self._restart()

    def on_step_end(self, loop: Any) -> None:
        """Move the bar; log when it is due."""
        assert self.bar is not None
        self.images += process()[1] * sum(len(batch["img"]) for batch in loop.batches)
        self.steps += 1
        self.bar.update()
        if loop.step % self.log_freq:
            return
        seconds = max(time.perf_counter() - self.started, 1e-9)
        left = loop.total_steps - loop.epoch * loop.steps_per_epoch - loop.step_in_epoch
        facts = {
            **self._losses(loop),
            "images/s": f"{self.images / seconds:.1f}",
            "left": _clock(left * seconds / self.steps),
        }
        self.bar.set_postfix(facts)
        where = f"{loop.run.stage} epoch {loop.epoch + 1}/{loop.num_epochs} step {loop.step_in_epoch}"
        told = facts | ({"lr": f"{loop.lr:.4g}"} if loop.losses else {})
        shown = ", ".join(f"{name} {value}" for name, value in told.items())
        logger.info("%s/%d: %s", where, loop.epoch_length, shown)
        self._restart()

    def _losses(self, loop: Any) -> dict[str, str]:
        losses = {name: float(loss) for name, loss in loop.losses.items()}
        shown = {"loss": sum(losses.values())} if losses else {}
        return {name: f"{value:.4f}" for name, value in {**shown, **(losses if self.parts else {})}.items()}

    def on_epoch_end(self, loop: Any) -> None:
        """Close the bar."""
        self._close()

    def on_loop_end(self, loop: Any) -> None:
        """Close the bar that an interruption left open."""
        self._close()

    def _restart(self) -> None:
        self.images = self.steps = 0
        self.started = time.perf_counter()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
