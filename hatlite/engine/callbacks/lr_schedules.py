"""Schedules beside the cosine and the steps, of which one training in a hundred makes use."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from hatlite.engine.callbacks.lr_updater import LrUpdater, half_cosine
from hatlite.registry import OBJECT_REGISTRY

__all__ = [
    "CosineAnnealingLrUpdater",
    "CosineRestartsLrUpdater",
    "CyclicLrUpdater",
    "NoamLrUpdater",
    "OneCycleUpdater",
    "PolyLrUpdater",
]

FINAL_DIVISOR = 1e4
"""One cycle ends this far below its start, as fastai and torch's OneCycleLR have it."""


def _progress(loop: Any, warmup_steps: int, steps: int | None = None) -> float:
    """Return the share of the steps after the warm-up that is done, 0…1; `steps` stands for the end of training."""
    total = max(1, (loop.total_steps if steps is None else steps) - warmup_steps)
    return min(1.0, (loop.step - warmup_steps) / total)


def _epochs(loop: Any, warmup_steps: int) -> float:
    """Return how many epochs follow the warm-up."""
    return loop.num_epochs - warmup_steps / loop.steps_per_epoch


def _epochs_since(loop: Any, warmup_steps: int) -> float:
    """Return how many epochs after the warm-up the one under way has begun, 0 or more."""
    return max(0.0, loop.epoch - warmup_steps / loop.steps_per_epoch)


@OBJECT_REGISTRY.register
@dataclass(kw_only=True, eq=False)
class PolyLrUpdater(LrUpdater):
    """Falls to `stop_lr` as a polynomial: ``lr = stop_lr + (lr0 − stop_lr) · (1 − n / N) ** power``.

    Args:
        max_update: Step, counted from 0 and with the warm-up, at which `stop_lr` is reached; None is the last one.
        power: Exponent, above 0; 1 is a straight line.
        stop_lr: Rate at the end.
    """

    max_update: int | None = None
    power: float = 1.0
    stop_lr: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.power > 0, "power", "a number above 0")
        self.require(self.max_update is None or self.max_update > 0, "max_update", "a step above 0, or None")

    def rate(self, lr0: float, loop: Any, warmup_steps: int) -> float:
        """Return the formula's rate."""
        left = 1 - _progress(loop, warmup_steps, self.max_update)
        return self.stop_lr + (lr0 - self.stop_lr) * left**self.power


@OBJECT_REGISTRY.register
@dataclass(kw_only=True, eq=False)
class CosineAnnealingLrUpdater(LrUpdater):
    """Half a cosine as ``CosLrUpdater`` has it, with one rate for all steps of an epoch.

    Args:
        stop_lr: Rate that the last epoch comes close to.
        period: Epochs after the warm-up in which `stop_lr` is reached; later the rate rises again along the same
            cosine. None is the end of training.
    """

    stop_lr: float = 0.0
    period: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.period is None or self.period > 0, "period", "1 epoch or more, or None")

    def rate(self, lr0: float, loop: Any, warmup_steps: int) -> float:
        """Return the rate of the epoch under way."""
        done = _epochs_since(loop, warmup_steps)
        if self.period is not None:
            return half_cosine(lr0, self.stop_lr, done / self.period)
        return half_cosine(lr0, self.stop_lr, min(1.0, done / max(1.0, _epochs(loop, warmup_steps))))


@OBJECT_REGISTRY.register
@dataclass(eq=False)
class CosineRestartsLrUpdater(LrUpdater):
    """Half a cosine down to `stop_lr`, again and again from the initial rate, one rate for all steps of an epoch.

    That is SGDR (Loshchilov and Hutter 2017, arXiv:1608.03983).

    Args:
        period: Epochs of the first cycle, counted from the end of the warm-up.
        period_factor: How many times longer each cycle is than the one before, a whole number.
        stop_lr: Rate that the last epoch of a cycle comes close to.
    """

    period: int
    _: KW_ONLY
    period_factor: int = 1
    stop_lr: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.period > 0, "period", "1 epoch or more")
        self.require(self.period_factor > 0, "period_factor", "1 or more")

    def rate(self, lr0: float, loop: Any, warmup_steps: int) -> float:
        """Return the rate of the epoch under way."""
        done, length = _epochs_since(loop, warmup_steps), self.period
        while done >= length:
            done, length = done - length, length * self.period_factor
        return half_cosine(lr0, self.stop_lr, done / length)


@OBJECT_REGISTRY.register
@dataclass(kw_only=True, eq=False)
class CyclicLrUpdater(LrUpdater):
    """Rises to ``lr0 · target_ratio[0]`` and falls to ``lr0 · target_ratio[1]``, both along half a cosine, in cycles.

    Args:
        target_ratio: (highest, lowest), both above 0, as multiples of the initial rate, from which a cycle starts.
        cyclic_times: Cycles in the whole training after the warm-up, at least 1.
        step_ratio_up: Share of a cycle that rises, in 0…1, both left out.
    """

    target_ratio: Sequence[float] = (10.0, 1e-4)
    cyclic_times: int = 1
    step_ratio_up: float = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        pair = len(self.target_ratio) == 2 and min(self.target_ratio) > 0
        self.require(pair, "target_ratio", "(highest, lowest), two numbers above 0")
        self.require(self.cyclic_times >= 1, "cyclic_times", "1 cycle or more")
        self.require(0 < self.step_ratio_up < 1, "step_ratio_up", "a number between 0 and 1")

    def rate(self, lr0: float, loop: Any, warmup_steps: int) -> float:
        """Return the rate at this point of the cycle."""
        highest, lowest = self.target_ratio
        place = (_progress(loop, warmup_steps) * self.cyclic_times) % 1.0
        if place < self.step_ratio_up:
            return lr0 * half_cosine(1.0, highest, place / self.step_ratio_up)
        return lr0 * half_cosine(highest, lowest, (place - self.step_ratio_up) / (1 - self.step_ratio_up))


@OBJECT_REGISTRY.register
@dataclass(eq=False)
class OneCycleUpdater(LrUpdater):
    """Rises from ``lr_max / div_factor`` to `lr_max` and falls to a ten-thousandth of where it began.

    Both ways are half a cosine (Smith and Topin 2018, arXiv:1708.07120). The optimizer's own rate has no say, and its
    momentum stays as it is.

    Args:
        lr_max: Highest rate.
        div_factor: What `lr_max` is divided by to start from, above 0.
        pct_start: Share of the steps that rise, in 0…1, both left out.
    """

    lr_max: float
    _: KW_ONLY
    div_factor: float = 10.0
    pct_start: float = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.lr_max > 0, "lr_max", "a rate above 0")
        self.require(self.div_factor > 0, "div_factor", "a number above 0")
        self.require(0 < self.pct_start < 1, "pct_start", "a number between 0 and 1")

    def rate(self, lr0: float, loop: Any, warmup_steps: int) -> float:
        """Return the rate at this point of the one cycle."""
        start, share = self.lr_max / self.div_factor, _progress(loop, warmup_steps)
        if share < self.pct_start:
            return half_cosine(start, self.lr_max, share / self.pct_start)
        return half_cosine(self.lr_max, start / FINAL_DIVISOR, (share - self.pct_start) / (1 - self.pct_start))


@OBJECT_REGISTRY.register
@dataclass(kw_only=True, eq=False)
class NoamLrUpdater(LrUpdater):
    """Falls with the root of the step: ``lr = lr0 · sqrt(W / (n + 1))`` with W steps of warm-up, n counted with them.

    That is the schedule of Vaswani et al. 2017 (arXiv:1706.03762), its peak named by the optimizer instead of the width
    of the model.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.warmup_len > 0, "warmup_len", "1 or more, from which the fall is measured")

    def rate(self, lr0: float, loop: Any, warmup_steps: int) -> float:
        """Return the formula's rate."""
        return lr0 * (warmup_steps / (loop.step + 1)) ** 0.5
