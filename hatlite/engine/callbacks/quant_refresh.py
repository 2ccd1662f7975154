"""Bring scales and multipliers up to date with what has been trained."""

from typing import Any

from hatlite.engine.loop import Callback
from hatlite.engine.processes import merge_seen
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["QuantRefresh"]


@OBJECT_REGISTRY.register
class QuantRefresh(Callback):
    """Calls ``network.refresh()`` on the trained and on the evaluation model at the end of every epoch.

    Between two refreshes all scales, multipliers and shifts are constant: weights, learned scales, batch statistics and
    running ranges move on and are taken over here. The qat stage has one by itself and puts it first, so that
    ``Validation`` and ``Checkpoint`` see integer constants that belong to the current weights; a config that lists its
    own says how often.

    Args:
        refresh_steps: Steps after which the trained model is refreshed inside an epoch too, for scales that are
            learned or follow their batches; None waits for the end of the epoch. The evaluation model is not used
            inside an epoch.
    """

    def __init__(self, refresh_steps: int | None = None) -> None:
        if refresh_steps is not None and refresh_steps < 1:
            raise ConfigError(f"QuantRefresh: refresh_steps is {refresh_steps}; expected at least 1 step, or None.")
        self.refresh_steps = refresh_steps

    def on_epoch_begin(self, loop: Any) -> None:
        """Tell the network how far training is; its batch norms and ranges may freeze."""
        loop.model.network.begin_epoch(loop.epoch, loop.num_epochs)

    def on_step_end(self, loop: Any) -> None:
        """Let ranges follow the step, of all processes, and refresh the trained model when it is due.

        The last step of an epoch leaves the refresh to the epoch's end.
        """
        loop.model.network.end_step(merge_seen)
        if self.refresh_steps is None or loop.step_in_epoch == loop.steps_per_epoch:
            return
        if loop.step % self.refresh_steps == 0:
            loop.model.network.refresh()

    def on_epoch_end(self, loop: Any) -> None:
        """Refresh both models."""
        loop.model.network.refresh()
        if loop.evaluation_model is not loop.model:
            loop.evaluation_model.network.refresh()
