"""Focal loss: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017."""

import torch
from torch import nn
from torch.nn import functional as F

from hatlite.errors import BuildError
from hatlite.models.losses.reduction import check_reduction, weighted_reduce
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["FocalLoss"]


@OBJECT_REGISTRY.register
class FocalLoss(nn.Module):
    """Sigmoid focal loss, each class against the rest.

    With z = −x where the class is the target and z = x elsewhere, the loss of one logit x is
    ``α_t · sigmoid(z)^γ · softplus(z)``, α_t being `alpha` for the target and ``1 − alpha`` elsewhere.

    Args:
        loss_name: Key of the loss in reports.
        num_classes: Number of classes C, or C + 1 when background is counted; None takes it from the head.
        alpha: Weight of the target class, 0…1.
        gamma: How strongly easy examples are discounted, ≥ 0.
        loss_weight: Factor of the whole.
        reduction: ``none``, ``mean`` or ``sum``.

    Raises:
        BuildError: `alpha` or `gamma` is outside its range.
    """

    def __init__(
        self,
        loss_name: str = "cls",
        num_classes: int | None = None,
        alpha: float = 0.25,
        gamma: float = 2.0,
        *,
        loss_weight: float = 1.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        if not 0.0 <= alpha <= 1.0:
            raise BuildError(f"FocalLoss: alpha is {alpha}; expected 0…1, the weight of the target class.")
        if not gamma >= 0.0:
            raise BuildError(f"FocalLoss: gamma is {gamma}; expected 0 or more, 0 being plain cross entropy.")
        self.loss_name, self.num_classes, self.loss_weight = loss_name, num_classes, loss_weight
        self.alpha, self.gamma = alpha, gamma
        self.reduction = check_reduction(reduction, "FocalLoss")

    def bind(self, num_classes: int, place: str) -> None:
        """Compare the number of classes with that of the head.

        Args:
            num_classes: The head's, without background.
            place: Where this loss stands, for the message.

        Raises:
            BuildError: It is neither that number nor one more.
        """
        if self.num_classes not in (None, num_classes, num_classes + 1):
            raise BuildError(
                f"{place}.num_classes is {self.num_classes}, but head.num_classes is {num_classes}; expected "
                f"{num_classes}, or {num_classes + 1} counting background."
                f"\n  Leave {place}.num_classes out and it is taken from the head."
            )

    def elements(self, logits: torch.Tensor, is_target: torch.Tensor | bool) -> torch.Tensor:
        """Return the loss of every logit (any shape), weight included; `is_target` says which ones should be 1."""
        positive, negative = self.loss_weight * self.alpha, self.loss_weight * (1.0 - self.alpha)
        if isinstance(is_target, bool):
            z, alpha = (-logits, positive) if is_target else (logits, negative)
        else:
            z = torch.where(is_target, -logits, logits)
            alpha = torch.where(is_target, positive, negative)
        return alpha * torch.sigmoid(z) ** self.gamma * F.softplus(z)

    def forward(
        self,
        logits: torch.Tensor,
        classes: torch.Tensor,
        weight: torch.Tensor | None = None,
        avg_factor: torch.Tensor | float | None = None,
    ) -> torch.Tensor:
        """Return the reduced loss.

        Args:
            logits: (M, C).
            classes: (M,) int64; a value outside 0…C−1 is background.
            weight: (M,), of each row.
            avg_factor: What ``mean`` divides by; None is the number of logits.
        """
        is_target = classes[:, None] == torch.arange(logits.shape[1], device=logits.device)
        weight = None if weight is None else weight[:, None]
        return weighted_reduce(self.elements(logits, is_target), weight, avg_factor, reduction=self.reduction)
