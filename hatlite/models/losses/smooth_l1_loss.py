"""Box loss that is quadratic near 0: Girshick, Fast R-CNN, ICCV 2015, equation 3."""

import torch
from torch import nn
from torch.nn import functional as F

from hatlite.errors import BuildError
from hatlite.models.losses.reduction import check_reduction, weighted_reduce
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["SmoothL1Loss"]


@OBJECT_REGISTRY.register
class SmoothL1Loss(nn.Module):
    """``x² / (2 · beta)`` where ``|x| < beta``, else ``|x| − beta / 2``, x being the difference of two numbers.

    Args:
        beta: Where the quadratic part ends, ≥ 0; 0 makes it the plain absolute difference.
        loss_name: Key of the loss in reports.
        loss_weight: Factor of the whole.
        reduction: ``none``, ``mean`` or ``sum``.

    Raises:
        BuildError: `beta` is negative.
    """

    def __init__(
        self, beta: float = 1.0, loss_name: str = "reg", loss_weight: float = 1.0, reduction: str = "mean"
    ) -> None:
        super().__init__()
        if not beta >= 0:
            raise BuildError(f"SmoothL1Loss: beta is {beta}; expected 0 or more, 0 being the absolute difference.")
        self.beta, self.loss_name, self.loss_weight = beta, loss_name, loss_weight
        self.reduction = check_reduction(reduction, "SmoothL1Loss")

    def forward(
        self,
        values: torch.Tensor,
        targets: torch.Tensor,
        weight: torch.Tensor | None = None,
        avg_factor: torch.Tensor | float | None = None,
    ) -> torch.Tensor:
        """Return the reduced loss.

        Args:
            values: Any shape.
            targets: In the shape of `values`.
            weight: Broadcasts against `values`.
            avg_factor: What ``mean`` divides by; None is the number of values.
        """
        loss = self.loss_weight * F.smooth_l1_loss(values, targets, reduction="none", beta=self.beta)
        return weighted_reduce(loss, weight, avg_factor, reduction=self.reduction)
