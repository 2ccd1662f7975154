"""An exponential moving average of the weights, which is what gets validated and deployed."""

import copy
import math
from typing import Any

import torch

from hatlite.engine.loop import Callback
from hatlite.engine.processes import RUNNING_STATISTICS
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["ExponentialMovingAverage"]


@OBJECT_REGISTRY.register
class ExponentialMovingAverage(Callback):
    """Keeps ``average ← d · average + (1 − d) · weight`` with ``d = decay · (1 − exp(−step / ramp))``.

    The ramp lets the average follow quickly while the weights are still far from good (``ramp`` = 2000 steps is the
    field's habit; a short training wants a short ramp). Parameters and the running statistics of batch norms are
    averaged; every other buffer, such as quantisation scales, is copied.

    Args:
        decay: Final decay, 0 ≤ decay < 1.
        ramp: Steps after which the decay has reached 63 % of `decay`.
    """

    def __init__(self, decay: float = 0.9999, ramp: float = 2000.0) -> None:
        if not (0 <= decay < 1 and ramp > 0):
            raise ConfigError(
                f"ExponentialMovingAverage: decay is {decay} and ramp {ramp}; expected 0 ≤ decay < 1 and ramp > 0."
            )
        self.decay = decay
        self.ramp = ramp

    def decay_at(self, step: int) -> float:
        """Return the decay of the update after `step` steps."""
        return self.decay * (1 - math.exp(-step / self.ramp))

    def on_loop_begin(self, loop: Any) -> None:
        """Start from a copy of the model; a resumed loop then loads the saved average into it."""
        loop.evaluation_model = copy.deepcopy(loop.model).eval().requires_grad_(False)

    @torch.no_grad()
    def on_step_end(self, loop: Any) -> None:
        """Move the average towards the new weights."""
        weight = 1 - self.decay_at(loop.step)
        averages, values, copies, originals = [], [], [], []
        targets = dict(loop.evaluation_model.named_parameters())
        for name, parameter in loop.model.named_parameters():
            averages.append(targets[name])
            values.append(parameter)
        targets = dict(loop.evaluation_model.named_buffers())
        for name, buffer in loop.model.named_buffers():
            if name.endswith(RUNNING_STATISTICS):
                averages.append(targets[name])
                values.append(buffer)
            else:
                copies.append(targets[name])
                originals.append(buffer)
        torch._foreach_lerp_(averages, values, weight)
        if copies:
            torch._foreach_copy_(copies, originals)
