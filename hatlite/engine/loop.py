"""What trainers and calibrators share: a model, a loader and callbacks at six moments."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import torch

from hatlite.data.loader import set_epoch
from hatlite.engine.device import place, resolve_device, to_device
from hatlite.engine.processes import any_process, process
from hatlite.engine.seed import random_state, restore_random_state, seed_everything, seed_step
from hatlite.errors import CheckpointError, ConfigError
from hatlite.log import get_logger
from hatlite.metrics import Metric

__all__ = ["Callback", "Loop", "RunInfo"]

logger = get_logger(__name__)


@dataclass(frozen=True)
class RunInfo:
    """What a checkpoint says about the run that wrote it.

    Attributes:
        stage: Name of the stage, the prefix of its files.
        task_name: Name of the run.
        folder: Where its files go.
        config: The resolved config as JSON text.
        classes: Class names in index order; empty when the data set does not tell.
    """

    stage: str = "float"
    task_name: str = ""
    folder: Path = field(default_factory=Path)
    config: str = "{}"
    classes: tuple[str, ...] = ()


class Callback:
    """Something that happens at one or more of six moments; subclasses override those they need.

    Callbacks run in the order of their list, and that order is the whole rule. One that works with all the rest stands
    as ``StatsMonitor, MetricUpdater, ExponentialMovingAverage, CosLrUpdater, Validation, Checkpoint, TensorBoard``: the
    average must exist before it is validated, metrics before a checkpoint carries them and a log shows them.

    Attributes:
        first_process_only: Of several processes only the first one calls it, because all it does is to print or to
            write; one that changes the model, the optimizer or ``loop.metrics`` leaves this False.
    """

    first_process_only = False

    def on_loop_begin(self, loop: Loop) -> None:
        """Run once, before the first epoch and before a checkpoint is resumed."""

    def on_epoch_begin(self, loop: Loop) -> None:
        """Run before the first batch; ``loop.epoch`` epochs are finished."""

    def on_step_begin(self, loop: Loop) -> None:
        """Run when ``loop.batches`` are loaded; ``loop.step`` steps are finished."""

    def on_step_end(self, loop: Loop) -> None:
        """Run after the step, which ``loop.step`` now counts; ``loop.losses`` are its losses."""

    def on_epoch_end(self, loop: Loop) -> None:
        """Run after the last batch; ``loop.epoch`` now counts this epoch too."""

    def on_loop_end(self, loop: Loop) -> None:
        """Run once at the end, also after an interruption (``loop.interrupted``)."""

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values that a checkpoint must carry for this callback."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""


class Loop:
    """Goes over a loader epoch by epoch and owns nothing else; subclasses say what a step is.

    Attributes:
        model: The detector; ``model.network`` may be replaced before :meth:`fit`.
        evaluation_model: The model to validate and deploy: a moving average when a callback keeps one, else `model`.
        epoch, step, step_in_epoch: Finished epochs, finished steps in all, and in the epoch under way.
        num_epochs, steps_per_epoch: How far it goes.
        max_steps: Steps in all after which it ends, the epoch under way cut short; None goes by epochs.
        batches: Those of the latest step: `batches_per_step`, at the end of an epoch what is left.
        batch, losses, metrics, lr: The latest of each.
        stop, interrupted: Set `stop` to leave after the current step; `interrupted` says that Ctrl-C did. Of several
            processes one is enough, and all leave after the same step.
        seconds_before: What earlier runs took to come to the checkpoint that this one goes on from.
        run: What checkpoints say about this run.
    """

    num_epochs = 1
    max_steps: int | None = None
    train_metrics: Any = None
    batches_per_step = 1
    resumable = True
    """Whether a checkpoint written halfway is of use."""
    declined_keys: ClassVar[Mapping[str, str]] = {
        "log_interval": "StatsMonitor logs, and its log_freq says how often.",
        "profiler": "StatsMonitor tells images per second; for more, start tools/train.py under a profiler.",
    }

    def __init__(
        self,
        model: torch.nn.Module,
        data_loader: Any,
        *,
        callbacks: Sequence[Callback] = (),
        device: str | torch.device | None = None,
        val_metrics: Metric | Sequence[Metric] | None = None,
        seed: int | None = None,
        channels_last: bool = True,
        model_convert_pipeline: Any = None,
    ) -> None:
        self.model = self.evaluation_model = model
        self.data_loader = data_loader
        self.callbacks = list(callbacks)
        self.device = resolve_device(device)
        self.val_metrics = val_metrics
        self.seed = seed
        self.channels_last = channels_last
        self.model_convert_pipeline = model_convert_pipeline
        self.run = RunInfo()
        self.epoch = self.step = self.step_in_epoch = 0
        self.batches: list[dict[str, Any]] = []
        self.losses: dict[str, torch.Tensor] = {}
        self.metrics: dict[str, float] = {}
        self.lr = 0.0
        self.stop = self.interrupted = self._ctrl_c = False
        self.seconds_before = 0.0
        self._started = time.perf_counter()
        self._seed = 0

    @property
    def batch(self) -> dict[str, Any]:
        """The latest batch."""
        return self.batches[-1]

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch."""
        return -(-len(self.data_loader) // self.batches_per_step)

    @property
    def total_steps(self) -> int:
        """Steps of all epochs together."""
        return self.num_epochs * self.steps_per_epoch if self.max_steps is None else self.max_steps

    @property
    def epoch_length(self) -> int:
        """Steps of the epoch under way: fewer than the others where `max_steps` ends it."""
        if self.max_steps is None:
            return self.steps_per_epoch
        return min(self.steps_per_epoch, self.step_in_epoch + self.max_steps - self.step)

    @property
    def finished(self) -> bool:
        """Whether the last epoch has ended; an epoch that `max_steps` cut short ends like any other."""
        if self.max_steps is None:
            return self.epoch >= self.num_epochs
        return self.step >= self.max_steps and self.step_in_epoch == 0

    def fit(self, resume: Mapping[str, Any] | None = None) -> None:
        """Run all epochs.

        Args:
            resume: A checkpoint of this stage; the loop goes on where it was written, bit for bit.

        Raises:
            ConfigError: The loader has no batches.
        """
        if self.steps_per_epoch == 0:
            raise ConfigError("The data loader has no batches; the data set is empty or smaller than one batch.")
        seed_everything(self.seed)
        self._seed = torch.initial_seed()
        self.setup()
        with self._stop_on_interrupt():
            self._call("on_loop_begin")
            if resume is not None:
                self.load_state_dict(resume)
                self._tell_if_finished()
            while not self.finished and not self.stop:
                self._run_epoch()
                self._agree()
            self._call("on_loop_end")

    def _tell_if_finished(self) -> None:
        if self.finished:
            done = f"{self.epoch} epochs" if self.max_steps is None else f"{self.step} steps"
            asked = self.num_epochs if self.max_steps is None else self.max_steps
            logger.info("Stage %r: nothing was left to do, %s of %d are finished.", self.run.stage, done, asked)

    def setup(self) -> None:
        """Bring the model into place; runs before any callback."""
        place(self.model, self.device, self.channels_last)
        self.evaluation_model = self.model

    def run_step(self) -> None:
        """Do what this loop does with ``self.batches``."""
        raise NotImplementedError

    def _call(self, moment: str) -> None:
        for callback in self.callbacks:
            if process()[0] == 0 or not callback.first_process_only:
                getattr(callback, moment)(self)

    def _run_epoch(self) -> None:
        self._call("on_epoch_begin")
        seen = self.step_in_epoch * self.batches_per_step
        set_epoch(self.data_loader, self.epoch, seen)  # (seed, epoch) fixes the order of the batches
        length = self.epoch_length
        for batches in self._groups() if self.step_in_epoch < length else ():
            if process()[1] > 1:
                seed_step(self._seed, process()[0], self.step)
            self.batches = [to_device(batch, self.device, self.channels_last) for batch in batches]
            self._call("on_step_begin")
            self.run_step()
            self.step += 1
            self.step_in_epoch += 1
            self._call("on_step_end")
            self._agree()
            if self.stop or self.step_in_epoch == length:
                break
        if self.stop:
            return
        self.epoch += 1
        self.step_in_epoch = 0
        self._call("on_epoch_end")

    def _agree(self) -> None:
        """Take in Ctrl-C; of several processes all stop where one does, if their steps correspond."""
        self.interrupted = self.interrupted or self._ctrl_c
        self.stop = self.stop or self._ctrl_c
        if self.resumable:
            self.stop, self.interrupted = any_process(self.stop, self.interrupted)

    def _groups(self) -> Iterator[list[Any]]:
        """Yield the batches of one step after the other."""
        batches = iter(self.data_loader)
        while group := list(islice(batches, self.batches_per_step)):
            yield group

    @contextmanager
    def _stop_on_interrupt(self) -> Iterator[None]:
        """Let the first Ctrl-C finish the step and the second end the program; only the main thread can listen.

        Several processes whose steps are of no use halfway end at once: none may leave while others wait for it.
        """
        if process()[1] > 1 and not self.resumable:
            yield
            return

        def listen(number: int, frame: Any) -> None:
            self._ctrl_c = True
            signal.signal(signal.SIGINT, previous)
            logger.warning("Interrupted: this step will be finished and saved. Press Ctrl-C again to end at once.")

        try:
            previous = signal.signal(signal.SIGINT, listen)
        except ValueError:
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, previous)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a checkpoint needs to go on bit for bit: tensors and plain values."""
        state = {
            "num_epochs": self.num_epochs,
            "epoch": self.epoch,
            "step": self.step,
            "step_in_epoch": self.step_in_epoch,
            "steps_per_epoch": self.steps_per_epoch,
            "processes": process()[1],
            "seconds": self.seconds_before + time.perf_counter() - self._started,
            "metrics": {} if self.step_in_epoch else dict(self.metrics),  # inside an epoch they are of older weights
            "state_dict": self.model.state_dict(),
            "callbacks": {f"{i}.{type(c).__name__}": c.state_dict() for i, c in enumerate(self.callbacks)},
            "random_state": random_state(),
        }
        if self.evaluation_model is not self.model:
            state["ema_state_dict"] = self.evaluation_model.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`, which :meth:`state_dict` returned.

        Raises:
            CheckpointError: Another number of processes wrote it, with another global batch.
        """
        self._check_pace(state.get("processes", 1), state.get("steps_per_epoch"))
        self.epoch, self.step, self.step_in_epoch = state["epoch"], state["step"], state["step_in_epoch"]
        self.seconds_before = state.get("seconds", 0.0)
        self.metrics = dict(state["metrics"])
        self.model.load_state_dict(state["state_dict"])
        if self.evaluation_model is not self.model:
            self.evaluation_model.load_state_dict(state.get("ema_state_dict", state["state_dict"]))
        for index, callback in enumerate(self.callbacks):
            callback.load_state_dict(state["callbacks"].get(f"{index}.{type(callback).__name__}", {}))
        restore_random_state(state["random_state"])

    def _check_pace(self, theirs: int, steps_per_epoch: int | None) -> None:
        count = process()[1]
        if steps_per_epoch in (None, self.steps_per_epoch):
            return
        if theirs == count:
            raise CheckpointError(
                f"The checkpoint was written at {steps_per_epoch} steps an epoch, and {self.steps_per_epoch} would go"
                " on; give the loader the data and batch_size that it had, or start without --resume."
            )
        raise CheckpointError(
            f"The checkpoint was written by {theirs} process{'es' * (theirs > 1)}, {steps_per_epoch} steps an"
            f" epoch, and {count} would go on, {self.steps_per_epoch} steps an epoch; start {theirs} again, or"
            " choose batch_size so that batch_size · processes stays what it was."
        )
