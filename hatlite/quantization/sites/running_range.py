"""The range of an activation that training moves on while integers are computed with the old one."""

import torch
from torch import nn

from hatlite.quantization.observer import MIN_ABSMAX, Observer

__all__ = ["RunningRange"]

LEAST_SHARE = 0.001
"""What a step counts for in the mean at least, as in TI's toolkit: long trainings forget what they began with."""


class RunningRange(nn.Module):
    """What the range of one site will be at the next refresh: a running mean of what the observer says of each step.

    Attributes:
        absmax: float64 scalar buffer: the real magnitude that the largest integer stands for; NaN until calibrated.
        steps: int64 scalar buffer: how many steps the mean is of, those of calibration (its batches) included.
        frozen: Whether batches pass without a trace.
    """

    absmax: torch.Tensor
    steps: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("absmax", torch.tensor(float("nan"), dtype=torch.float64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.frozen = False
        self._watching: Observer | None = None

    @torch.no_grad()
    def show(self, unrounded: torch.Tensor, observer: Observer, relu: bool) -> None:
        """Let a batch of the step under way be seen.

        Args:
            unrounded: Results in steps of the scale in force, neither rounded nor clamped, (N, C, H, W) or (N, C).
            observer: Says how a range is found; it sees nothing itself.
            relu: Negative values count as 0.

        Raises:
            QuantizationError: A value that the observer looks at is NaN or infinite.
        """
        if self._watching is None:
            self._watching = observer.of_step()
        self._watching.observe(unrounded, relu)

    def take_seen(self) -> Observer | None:
        """Return what the step has shown, None where it was nothing, and begin with the next."""
        seen, self._watching = self._watching, None
        return seen

    @torch.no_grad()
    def follow(self, absmax: float) -> None:
        """Move towards the range of one step, a real magnitude."""
        self.steps.add_(1)
        share = max(1.0 / int(self.steps), LEAST_SHARE)
        before = float(self.absmax)
        self.absmax.fill_(before + share * (max(absmax, MIN_ABSMAX) - before))

    @torch.no_grad()
    def restart(self, absmax: float, steps: int) -> None:
        """Begin with the range that `steps` batches of calibration have given."""
        self.absmax.fill_(absmax)
        self.steps.fill_(steps)
        self._watching = None
