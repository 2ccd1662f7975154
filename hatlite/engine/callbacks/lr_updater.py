"""Learning rates as functions of the step, so that a resumed run needs no state of theirs."""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from hatlite.engine.loop import Callback
from hatlite.errors import ConfigError
from hatlite.log import get_logger
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["CosLrUpdater", "LrUpdater", "StepDecayLrUpdater", "half_cosine"]

logger = get_logger(__name__)


@dataclass(kw_only=True, eq=False)
class LrUpdater(Callback):
    """Sets every group's rate before each step, from its initial rate; subclasses say how, and these keys are theirs.

    With ``n`` = 0, 1, … steps of ``W`` in the warm-up and ``lr0`` the rate of the optimizer's config, a linear warm-up
    has ``begin + (lr0 − begin) · (n + 1) / W``, which reaches the schedule's start with its last step; a constant one
    has ``begin``.

    Args:
        warmup_len: Length of the warm-up in `warmup_by`.
        warmup_by: ``"epoch"`` or ``"step"``.
        warmup_mode: ``"linear"`` or ``"constant"``.
        warmup_begin_lr: ``begin``, 0 or above; above 0 for a constant warm-up.
        step_log_interval: Steps between two log lines of the rate.
        stage_log_interval: Another name of `step_log_interval`, as some configs write it.
    """

    warmup_len: int = 0
    warmup_by: str = "epoch"
    warmup_mode: str = "linear"
    warmup_begin_lr: float = 0.0
    step_log_interval: int = 500
    stage_log_interval: int | None = None

    def __post_init__(self) -> None:
        self.require(self.warmup_by in ("epoch", "step"), "warmup_by", "'epoch' or 'step'")
        self.require(self.warmup_mode in ("linear", "constant"), "warmup_mode", "'linear' or 'constant'")
        self.require(self.warmup_len >= 0, "warmup_len", "0 or more")
        self.require(self.warmup_begin_lr >= 0, "warmup_begin_lr", "0 or above")
        self.step_log_interval = self.stage_log_interval or self.step_log_interval
        self.require(self.step_log_interval > 0, "step_log_interval", "1 step or more")
        if self.warmup_mode == "constant" and self.warmup_len:
            self.require(self.warmup_begin_lr > 0, "warmup_begin_lr", "a rate above 0 with warmup_mode='constant'")

    def require(self, good: bool, key: str, expected: str) -> None:
        """Refuse the value of `key` unless it is `good`.

        Raises:
            ConfigError: It is not.
        """
        if not good:
            raise ConfigError(f"{type(self).__name__}: {key} is {getattr(self, key)!r}; expected {expected}.")

    def rate(self, lr0: float, loop: Any, warmup_steps: int) -> float:
        """Return the rate after the warm-up, for the step that ``loop.step`` counts from 0.

        Args:
            lr0: Initial rate of the group.
            loop: Tells the step, the epoch, and how many there are.
            warmup_steps: Steps of the warm-up.
        """
        raise NotImplementedError

    def on_loop_begin(self, loop: Any) -> None:
        """Remember each group's configured rate; a checkpoint carries it along.

        Raises:
            ConfigError: Nothing is trained.
        """
        if not hasattr(loop, "optimizer"):
            raise ConfigError(
                f"{type(self).__name__} is among the callbacks of a {type(loop).__name__}, which has no learning rate;"
                " remove it there."
            )
        for group in loop.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])

    def on_step_begin(self, loop: Any) -> None:
        """Set the rate of the coming step."""
        warmup_steps = self.warmup_len * (loop.steps_per_epoch if self.warmup_by == "epoch" else 1)
        for group in loop.optimizer.param_groups:
            lr0 = group["initial_lr"]
            warm = loop.step >= warmup_steps
            group["lr"] = self.rate(lr0, loop, warmup_steps) if warm else self._warmup_rate(lr0, loop, warmup_steps)
        loop.lr = loop.optimizer.param_groups[0]["lr"]
        if loop.step % self.step_log_interval == 0:
            logger.info("step %d: learning rate %.6g", loop.step, loop.lr)

    def _warmup_rate(self, lr0: float, loop: Any, warmup_steps: int) -> float:
        if self.warmup_mode == "constant":
            return self.warmup_begin_lr
        return self.warmup_begin_lr + (lr0 - self.warmup_begin_lr) * ((loop.step + 1) / warmup_steps)


def half_cosine(start: float, stop: float, share: float) -> float:
    """Return the way from `start` to `stop` along half a cosine, of which `share` in 0…1 is done."""
    return stop + (start - stop) * (0.5 * (1 + math.cos(math.pi * share)))


@OBJECT_REGISTRY.register
@dataclass(kw_only=True, eq=False)
class CosLrUpdater(LrUpdater):
    """Half a cosine from the initial rate down to `stop_lr` (https://arxiv.org/abs/1608.03983, without restarts).

    With n steps after the warm-up and N in all of them, ``lr = stop_lr + (lr0 − stop_lr) / 2 · (1 + cos(π n / N))``.

    Args:
        stop_lr: Rate that the last step comes close to.
    """

    stop_lr: float = 0.0

    def rate(self, lr0: float, loop: Any, warmup_steps: int) -> float:
        """Return the formula's rate."""
        total = max(1, loop.total_steps - warmup_steps)
        return half_cosine(lr0, self.stop_lr, min(1.0, (loop.step - warmup_steps) / total))


@OBJECT_REGISTRY.register(alias="WarmupStepLrUpdater")
@dataclass(eq=False)
class StepDecayLrUpdater(LrUpdater):
    """Multiplies the rate by `lr_decay_factor` at the start of each epoch, or at each step, in `lr_decay_id`.

    ``WarmupStepLrUpdater`` is another name of it.

    Args:
        lr_decay_id: In `update_by`, counted from 0; ``[4]`` trains epochs 0…3 at the full rate.
        lr_decay_factor: Factor of each decay.
        update_by: ``"epoch"`` or ``"step"``.
        lr_decay_every: Decays again and again after so many epochs or steps, counted from the end of the warm-up;
            instead of `lr_decay_id`.
    """

    lr_decay_id: Sequence[int] | None = None
    _: KW_ONLY
    lr_decay_factor: float = 0.1
    update_by: str = "epoch"
    lr_decay_every: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.update_by in ("epoch", "step"), "update_by", "'epoch' or 'step'")
        every = self.lr_decay_every
        self.require(every is None or every > 0, "lr_decay_every", "1 epoch or step, or more, or None")
        alone = (every is None) != (self.lr_decay_id is None)
        self.require(alone, "lr_decay_id", "when to decay, such as [16, 20], or None and lr_decay_every")

    def rate(self, lr0: float, loop: Any, warmup_steps: int) -> float:
        """Return the rate after the decays so far."""
        epochs = self.update_by == "epoch"
        if self.lr_decay_every is not None:
            length = self.lr_decay_every * (loop.steps_per_epoch if epochs else 1)
            return lr0 * self.lr_decay_factor ** ((loop.step - warmup_steps) // length)
        done = loop.epoch if epochs else loop.step
        return lr0 * self.lr_decay_factor ** sum(done >= when for when in self.lr_decay_id or ())
