"""Cross entropy, of a softmax or of independent sigmoids."""

import torch
from torch import nn
from torch.nn import functional as F

from hatlite.models.losses.reduction import check_reduction, weighted_reduce
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["CrossEntropyLossV2"]


@OBJECT_REGISTRY.register
class CrossEntropyLossV2(nn.Module):
    """Binary cross entropy with soft targets (`use_sigmoid`), or cross entropy over classes.

    Args:
        use_sigmoid: Every logit stands for itself and its target is a probability; else classes exclude one another.
        loss_name: Key of the loss in reports.
        loss_weight: Factor of the whole.
        reduction: ``none``, ``mean`` or ``sum``.
    """

    def __init__(
        self,
        use_sigmoid: bool = False,
        loss_name: str = "centerness",
        loss_weight: float = 1.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.use_sigmoid, self.loss_name, self.loss_weight = use_sigmoid, loss_name, loss_weight
        self.reduction = check_reduction(reduction, "CrossEntropyLossV2")

    def forward(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        weight: torch.Tensor | None = None,
        avg_factor: torch.Tensor | float | None = None,
    ) -> torch.Tensor:
        """Return the reduced loss.

        Args:
            logits: With `use_sigmoid` any shape, else (M, C).
            targets: With `use_sigmoid` probabilities 0…1 in the shape of `logits`, else (M,) int64 classes.
            weight: Broadcasts against the loss per element.
            avg_factor: What ``mean`` divides by; None is the number of elements.
        """
        if self.use_sigmoid:
            loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        else:
            loss = F.cross_entropy(logits, targets, reduction="none")
        return weighted_reduce(self.loss_weight * loss, weight, avg_factor, reduction=self.reduction)
