"""The trainer: a loop whose step updates weights."""

import traceback
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from hatlite.data.loader import split_batches
from hatlite.engine.batch_processor import MultiBatchProcessor
from hatlite.engine.loop import Callback, Loop
from hatlite.engine.optim import build_optimizer
from hatlite.engine.processes import copy_state, copy_statistics, process
from hatlite.errors import CheckpointError, ConfigError, TrainingError
from hatlite.metrics import Metric
from hatlite.nn.sync_batch_norm import share_batch_statistics
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["Trainer"]


@OBJECT_REGISTRY.register(alias="distributed_data_parallel_trainer")
class Trainer(Loop):
    """Trains `model` for `num_epochs` or `num_steps`; everything beside the steps is a callback.

    Several processes share out every global batch, `batch_size` samples for each: what the loader of one process with
    the global batch would yield. After each step all of them hold the same weights, statistics and optimizer.

    Args:
        model: A detector (docs/architecture.md); ``model(batch)`` gives losses in train mode.
        data_loader: Batches in an order that (seed, epoch) fixes.
        optimizer: Config dict, built when training starts, over the parameters the model then has. It may be left out
            together with the loader where nothing is trained: int_infer's trainer names a model and its pipeline.
        batch_processor: What happens to one batch; None is a plain :class:`MultiBatchProcessor`.
        num_epochs: Length, at least 0, when `stop_by` is ``"epoch"``.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:0"``; None is the CPU.
        callbacks: Run in this order (:class:`hatlite.engine.loop.Callback` explains it).
        train_metrics: Takes each step's losses, ``update(losses)``, through a ``MetricUpdater``.
        val_metrics: What ``Validation`` measures with.
        sync_bn: Of several processes, let batch norms see the batch of all; without, each sees its own share, and the
            running statistics of the first process count. In one process it changes nothing.
        seed: Seeds Python, NumPy and torch when training starts; None leaves them as they are.
        channels_last: Keep images and weights channels-last in memory, which convolutions on CPUs are faster with.
        stop_by: ``"epoch"`` or ``"step"``.
        num_steps: Length in steps, at least 0, when `stop_by` is ``"step"``. The epoch in which it ends is cut short
            and ends like any other: it is validated and saved.
        model_convert_pipeline: How the stage brings `model` into form before it trains it; None is the way of its kind
            (:mod:`hatlite.engine.conversion`).
    """

    build_later = {"optimizer": ("params",)}
    declined_keys: ClassVar = {
        **Loop.declined_keys,
        **dict.fromkeys(
            ("resume_optimizer", "resume_epoch_or_step", "resume_dataloader", "start_epoch", "start_step"),
            "tools/train.py --resume goes on where the last checkpoint was written, to the bit.",
        ),
    }

    def __init__(
        self,
        model: torch.nn.Module,
        data_loader: Any = None,
        optimizer: Mapping[str, Any] | None = None,
        batch_processor: MultiBatchProcessor | None = None,
        num_epochs: int = 1,
        *,
        device: str | torch.device | None = None,
        callbacks: Sequence[Callback] = (),
        train_metrics: Metric | Sequence[Metric] | None = None,
        val_metrics: Metric | Sequence[Metric] | None = None,
        sync_bn: bool = False,
        seed: int | None = None,
        channels_last: bool = True,
        stop_by: str = "epoch",
        num_steps: int | None = None,
        model_convert_pipeline: Any = None,
    ) -> None:
        if optimizer is None or data_loader is None:
            missing = "optimizer" if optimizer is None else "data_loader"
            raise ConfigError(f"Trainer has no {missing} to train with; give it one.")
        _check_length(stop_by, num_epochs, num_steps)
        split_batches(data_loader, *process())
        super().__init__(
            model,
            data_loader,
            callbacks=callbacks,
            device=device,
            val_metrics=val_metrics,
            seed=seed,
            channels_last=channels_last,
            model_convert_pipeline=model_convert_pipeline,
        )
        self.optimizer_config = optimizer
        self.optimizer: torch.optim.Optimizer
        self.batch_processor = batch_processor or MultiBatchProcessor()
        self.batches_per_step = self.batch_processor.grad_accumulation_step
        self.num_epochs = num_epochs
        if stop_by == "step" and num_steps is not None:
            self.max_steps = num_steps
            self.num_epochs = -(-num_steps // max(1, self.steps_per_epoch))
        self.train_metrics = train_metrics
        self.sync_bn = sync_bn

    def setup(self) -> None:
        """Bring the model into place, in train mode, and build the optimizer over its parameters."""
        super().setup()
        self.model.train()
        copy_state(self.model)
        if self.sync_bn and process()[1] > 1:
            share_batch_statistics(self.model)
        self.batch_processor.set_device(self.device)
        self.optimizer = build_optimizer(self.optimizer_config, self.model)
        self.lr = self.optimizer.param_groups[0]["lr"]

    def run_step(self) -> None:
        """Train on ``self.batches``.

        Raises:
            TrainingError: A loss is not finite, or a batch of one image leaves a batch norm without a variance.
        """
        try:
            self.losses = self.batch_processor(self.model, self.batches, self.optimizer, self.step)
        except ValueError as cause:
            name = _refusing_batch_norm(cause, self.model)
            if name is None or all(len(batch["img"]) > 1 for batch in self.batches):
                raise
            raise TrainingError(
                f"At step {self.step} batch norm {name!r} cannot train on a batch of one image: {cause}."
                f"\n  Set batch_size in config['{self.run.stage}_trainer']['data_loader'] to 2 or more, and"
                " drop_last=True beside it, so that no batch of one image is left over."
            ) from cause
        if not self.sync_bn:
            copy_statistics(self.model)

    def state_dict(self) -> dict[str, Any]:
        """Return the loop's state, the optimizer's and the batch processor's."""
        own = {"optimizer": self.optimizer.state_dict(), "batch_processor": self.batch_processor.state_dict()}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`, momentum and learning rates included.

        Raises:
            CheckpointError: The optimizer has other parameter groups.
        """
        super().load_state_dict(state)
        try:
            self.optimizer.load_state_dict(state["optimizer"])
        except (KeyError, ValueError) as cause:
            text = "The optimizer of the checkpoint does not fit the config's"
            raise CheckpointError(f"{text} ({cause}); restore the config or start without --resume.") from cause
        self.batch_processor.load_state_dict(state.get("batch_processor", {}))
        self.lr = self.optimizer.param_groups[0]["lr"]


def _refusing_batch_norm(cause: ValueError, model: nn.Module) -> str | None:
    """Return the name of the batch norm of `model` that raised `cause`, None if another part did.

    In train mode torch refuses one value per channel; of two images or more a batch norm never gets that.
    """
    names = {id(module): name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    callers = (frame.f_locals.get("self") for frame, _ in traceback.walk_tb(cause.__traceback__))
    found = next((names[id(module)] for module in callers if id(module) in names), None)
    return None if found is None else found.removeprefix("network.")


def _check_length(stop_by: str, num_epochs: int, num_steps: int | None) -> None:
    if stop_by not in ("epoch", "step"):
        raise ConfigError(f"stop_by is {stop_by!r}; expected 'epoch' or 'step'.")
    if num_epochs < 0:
        raise ConfigError(f"num_epochs is {num_epochs}; expected 0 or more.")
    if stop_by == "step" and (num_steps is None or num_steps < 0):
        raise ConfigError(f"stop_by is 'step' and num_steps is {num_steps}; expected 0 or more steps.")
    if stop_by == "epoch" and num_steps is not None:
        raise ConfigError(f"num_steps is {num_steps}, which counts with stop_by='step' only; set that, or remove it.")
