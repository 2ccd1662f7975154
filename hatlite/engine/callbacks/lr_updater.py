"""Learning rates as functions of the step, so that a resumed run needs no state of theirs."""

import math
from collections.abc import Sequence
from typing import Any

from hatlite.engine.loop import Callback
from hatlite.errors import ConfigError
from hatlite.log import get_logger
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["CosLrUpdater", "LrUpdater", "StepDecayLrUpdater"]

logger = get_logger(__name__)


class LrUpdater(Callback):
    """Sets every group's rate before each step to its initial rate × a factor; subclasses say which.

    During warm-up the factor rises linearly and reaches the schedule's start with the last warm-up step.

    Args:
        warmup_len: Length of the warm-up in `warmup_by`.
        warmup_by: ``"epoch"`` or ``"step"``.
        step_log_interval: Steps between two log lines of the rate.
        stage_log_interval: Another name of `step_log_interval`, as some configs write it.
    """

    def __init__(
        self,
        warmup_len: int = 0,
        warmup_by: str = "epoch",
        step_log_interval: int = 500,
        stage_log_interval: int | None = None,
    ) -> None:
        if warmup_by not in ("epoch", "step"):
            raise ConfigError(f"{type(self).__name__}: warmup_by is {warmup_by!r}; expected 'epoch' or 'step'.")
        self.warmup_len = warmup_len
        self.warmup_by = warmup_by
        self.step_log_interval = stage_log_interval or step_log_interval

    def factor(self, loop: Any, warmup_steps: int) -> float:
        """Return the factor after the warm-up, for the step that ``loop.step`` counts from 0."""
        raise NotImplementedError

    def floor(self) -> float:
        """Return the rate that no step goes below once decayed (the end of the schedule)."""
        return 0.0

    def on_loop_begin(self, loop: Any) -> None:
        """Remember each group's configured rate; a checkpoint carries it along."""
        for group in loop.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])

    def on_step_begin(self, loop: Any) -> None:
        """Set the rate of the coming step."""
        warmup_steps = self.warmup_len * (loop.steps_per_epoch if self.warmup_by == "epoch" else 1)
        if loop.step < warmup_steps:
            factor, floor = (loop.step + 1) / warmup_steps, 0.0
        else:
            factor, floor = self.factor(loop, warmup_steps), self.floor()
        for group in loop.optimizer.param_groups:
            group["lr"] = floor + (group["initial_lr"] - floor) * factor
        loop.lr = loop.optimizer.param_groups[0]["lr"]
        if loop.step % self.step_log_interval == 0:
            logger.info("step %d: learning rate %.6g", loop.step, loop.lr)


@OBJECT_REGISTRY.register
class CosLrUpdater(LrUpdater):
    """Half a cosine from the initial rate down to `stop_lr` (https://arxiv.org/abs/1608.03983, without restarts).

    With n steps after the warm-up and N in all of them, ``lr = stop_lr + (lr0 − stop_lr) / 2 · (1 + cos(π n / N))``.

    Args:
        warmup_len, warmup_by, step_log_interval, stage_log_interval: See :class:`LrUpdater`.
        stop_lr: Rate that the last step comes close to.
    """

    def __init__(
        self,
        warmup_len: int = 0,
        warmup_by: str = "epoch",
        step_log_interval: int = 500,
        stage_log_interval: int | None = None,
        *,
        stop_lr: float = 0.0,
    ) -> None:
        super().__init__(warmup_len, warmup_by, step_log_interval, stage_log_interval)
        self.stop_lr = stop_lr

    def factor(self, loop: Any, warmup_steps: int) -> float:
        """Return (1 + cos(π n / N)) / 2."""
        total = max(1, loop.total_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (loop.step - warmup_steps) / total)))

    def floor(self) -> float:
        """Return `stop_lr`."""
        return self.stop_lr


@OBJECT_REGISTRY.register(alias="WarmupStepLrUpdater")
class StepDecayLrUpdater(LrUpdater):
    """Multiplies the rate by `lr_decay_factor` at the start of each epoch, or at each step, in `lr_decay_id`.

    ``WarmupStepLrUpdater`` is another name of it.

    Args:
        lr_decay_id: In `update_by`, counted from 0; ``[4]`` trains epochs 0…3 at the full rate.
        lr_decay_factor: Factor of each decay.
        warmup_len, warmup_by, step_log_interval, stage_log_interval: See :class:`LrUpdater`.
        update_by: ``"epoch"`` or ``"step"``.
    """

    def __init__(
        self,
        lr_decay_id: Sequence[int],
        lr_decay_factor: float = 0.1,
        warmup_len: int = 0,
        warmup_by: str = "epoch",
        *,
        step_log_interval: int = 500,
        stage_log_interval: int | None = None,
        update_by: str = "epoch",
    ) -> None:
        super().__init__(warmup_len, warmup_by, step_log_interval, stage_log_interval)
        if update_by not in ("epoch", "step"):
            raise ConfigError(f"{type(self).__name__}: update_by is {update_by!r}; expected 'epoch' or 'step'.")
        self.update_by = update_by
        self.lr_decay_id = tuple(lr_decay_id)
        self.lr_decay_factor = lr_decay_factor

    def factor(self, loop: Any, warmup_steps: int) -> float:
        """Return the decay factor to the power of the decays so far."""
        done = loop.epoch if self.update_by == "epoch" else loop.step
        return self.lr_decay_factor ** sum(done >= when for when in self.lr_decay_id)
