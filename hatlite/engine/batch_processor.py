"""What happens to one batch: forward, sum of losses, backward, step."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from hatlite.errors import TrainingError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["MultiBatchProcessor"]


@OBJECT_REGISTRY.register(alias="BasicBatchProcessor")
class MultiBatchProcessor:
    """Trains a model on one batch at a time.

    Args:
        need_grad_update: Do backward and optimizer step; false only computes the losses.
        loss_collector: Takes all losses by name and returns those to be summed; None sums all.
        clip_grad_norm: Largest L2 norm of all gradients together; None leaves them as they are.
    """

    def __init__(
        self,
        need_grad_update: bool = True,
        loss_collector: Callable[[dict[str, torch.Tensor]], Mapping[str, torch.Tensor]] | None = None,
        clip_grad_norm: float | None = None,
    ) -> None:
        self.need_grad_update = need_grad_update
        self.loss_collector = loss_collector
        self.clip_grad_norm = clip_grad_norm

    def __call__(
        self, model: torch.nn.Module, batch: Mapping[str, Any], optimizer: torch.optim.Optimizer, step: int
    ) -> dict[str, torch.Tensor]:
        """Run one step and return the detached losses by name.

        Args:
            model: A detector in train mode: ``model(batch)`` gives losses by name, scalars.
            batch: On the model's device.
            optimizer: Steps over the model's parameters.
            step: Number of steps done before, for messages.

        Raises:
            TrainingError: A loss is NaN or infinite; the weights keep their last good values.
        """
        losses = model(batch)
        summed = self.loss_collector(losses) if self.loss_collector else losses
        total = torch.stack([loss.float() for loss in summed.values()]).sum()
        if not torch.isfinite(total):
            raise _not_finite(losses, batch, step)
        if self.need_grad_update:
            self._update(model, total, optimizer)
        return {name: loss.detach() for name, loss in losses.items()}

    def _update(self, model: torch.nn.Module, total: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        if self.clip_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), self.clip_grad_norm)
        optimizer.step()


def _not_finite(losses: Mapping[str, torch.Tensor], batch: Mapping[str, Any], step: int) -> TrainingError:
    bad = {name: float(loss.detach()) for name, loss in losses.items() if not torch.isfinite(loss)}
    named = ", ".join(f"{name!r} is {value}" for name, value in bad.items()) or "the sum of the losses overflowed"
    images = ", ".join(map(str, batch.get("img_name", ()))) or "unknown"
    return TrainingError(
        f"At step {step} loss {named}; training stopped before the weights were touched."
        f"\n  Images of the batch: {images}."
        "\n  Lower the learning rate, lengthen the warm-up, set clip_grad_norm, or look at the boxes of these images."
    )
