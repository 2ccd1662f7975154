"""What happens in one step: forward, sum of losses, backward, update."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch

from hatlite.engine.processes import average_gradients, mean_losses
from hatlite.errors import ConfigError, TrainingError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["MultiBatchProcessor"]

Losses = Mapping[str, torch.Tensor] | Sequence[torch.Tensor]


@OBJECT_REGISTRY.register(alias="BasicBatchProcessor")
class MultiBatchProcessor:
    """Trains a model: one step is one update of its weights.

    Automatic mixed precision computes convolutions and products in half precision where the network is float; losses,
    weights and updates stay float32. The integer forward of a fake-quant graph computes as without it, to the bit; the
    convolutions of its backward take bfloat16 too, and not float16. float16 multiplies the loss by a factor that keeps
    small gradients above 0, and leaves out a step that this makes overflow (Micikevicius et al. 2018,
    arXiv:1710.03740); bfloat16 has the range of float32 and needs no factor.

    Args:
        need_grad_update: Do backward and optimizer step; false only computes the losses.
        loss_collector: Takes all losses by name and returns those to be summed, by name or in a list; None sums all.
        clip_grad_norm: Largest L2 norm of all gradients together; None leaves them as they are.
        enable_amp: Compute in half precision.
        amp_dtype: ``"bfloat16"``, which every device has, or ``"float16"``.
        grad_scaler: Such as ``dict(type=torch.amp.GradScaler, init_scale=1024.0)``; None is one with torch's values for
            float16, and none for bfloat16.
        grad_accumulation_step: Batches whose mean gradient makes one update, at least 1; the last update of an epoch
            takes what is left. A step, as epochs, schedules and averages count it, is the update.
        delay_sync: Both hold: processes exchange gradients once for an update, however many batches it has.
    """

    declined_keys: ClassVar = {
        "batch_transforms": "put them into the transforms of the data sets, where evaluation, calibration and the board"
        " see them too.",
    }

    def __init__(
        self,
        need_grad_update: bool = True,
        loss_collector: Callable[[dict[str, torch.Tensor]], Losses] | None = None,
        clip_grad_norm: float | None = None,
        *,
        enable_amp: bool = False,
        amp_dtype: str = "bfloat16",
        grad_scaler: torch.amp.GradScaler | None = None,
        grad_accumulation_step: int = 1,
        delay_sync: bool = False,
    ) -> None:
        if amp_dtype not in ("bfloat16", "float16"):
            raise ConfigError(f"MultiBatchProcessor: amp_dtype is {amp_dtype!r}; expected 'bfloat16' or 'float16'.")
        if grad_accumulation_step < 1:
            text = f"MultiBatchProcessor: grad_accumulation_step is {grad_accumulation_step}; expected 1 batch or more."
            raise ConfigError(text)
        self.enable_amp = enable_amp
        self.amp_dtype = getattr(torch, amp_dtype)
        self.grad_accumulation_step = grad_accumulation_step
        self.given_scaler = grad_scaler
        self.set_device(torch.device("cpu"))
        self.need_grad_update = need_grad_update
        self.loss_collector = loss_collector
        self.clip_grad_norm = clip_grad_norm

    def set_device(self, device: torch.device) -> None:
        """Say where the model is; a trainer does it before the first step."""
        self.device = device
        scaled = self.enable_amp and self.amp_dtype == torch.float16
        self.scaler = self.given_scaler or torch.amp.GradScaler(device.type, enabled=scaled)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must carry: the factor of float16, nothing otherwise."""
        return self.scaler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned; a run that had no factor leaves the own one as it is."""
        if state:
            self.scaler.load_state_dict(dict(state))

    def __call__(
        self,
        model: torch.nn.Module,
        batches: Sequence[Mapping[str, Any]],
        optimizer: torch.optim.Optimizer,
        step: int,
    ) -> dict[str, torch.Tensor]:
        """Run one step and return the detached losses by name, means over the batches and over all processes.

        Args:
            model: A detector in train mode: ``model(batch)`` gives losses by name, scalars.
            batches: On the model's device; those of one update.
            optimizer: Steps over the model's parameters.
            step: Number of steps done before, for messages.

        Raises:
            TrainingError: A loss is NaN or infinite; the weights keep their last good values.
        """
        if self.need_grad_update:
            optimizer.zero_grad(set_to_none=True)
        means: dict[str, torch.Tensor] = {}
        for batch in batches:
            losses, total = self._losses(model, batch, step)
            if self.need_grad_update:
                self.scaler.scale(total / len(batches)).backward()
            for name, loss in losses.items():
                share = loss.detach() / len(batches)
                means[name] = means[name] + share if name in means else share
        if self.need_grad_update:
            average_gradients(model)
            self._update(model, optimizer)
        return mean_losses(means)

    def _losses(
        self, model: torch.nn.Module, batch: Mapping[str, Any], step: int
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Return the losses of `batch` by name and their sum, which is finite."""
        with torch.autocast(self.device.type, self.amp_dtype, enabled=self.enable_amp):
            losses = model(batch)
        summed = self.loss_collector(losses) if self.loss_collector else losses
        counted = list(summed.values() if isinstance(summed, Mapping) else summed)
        total = torch.stack([loss.float() for loss in counted]).sum()
        if not torch.isfinite(total):
            raise _not_finite(losses, batch, step)
        return losses, total

    def _update(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        if self.clip_grad_norm is not None:
            self.scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), self.clip_grad_norm)
        self.scaler.step(optimizer)
        self.scaler.update()


def _not_finite(losses: Mapping[str, torch.Tensor], batch: Mapping[str, Any], step: int) -> TrainingError:
    bad = {name: float(loss.detach()) for name, loss in losses.items() if not torch.isfinite(loss)}
    named = ", ".join(f"{name!r} is {value}" for name, value in bad.items()) or "the sum of the losses overflowed"
    images = ", ".join(map(str, batch.get("img_name", ()))) or "unknown"
    return TrainingError(
        f"At step {step} loss {named}; training stopped before the weights were touched."
        f"\n  Images of the batch: {images}."
        "\n  Lower the learning rate, lengthen the warm-up, set clip_grad_norm, or look at the boxes of these images."
    )
