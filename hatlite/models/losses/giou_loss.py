"""Box loss by generalised IoU: Rezatofighi et al., CVPR 2019."""

import torch
from torch import nn

from hatlite.models.losses.reduction import check_reduction, weighted_reduce
from hatlite.ops.boxes import giou
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["GIoULoss"]


@OBJECT_REGISTRY.register
class GIoULoss(nn.Module):
    """``1 − GIoU`` of paired boxes, 0 for equal ones and up to 2.

    Args:
        loss_name: Key of the loss in reports.
        loss_weight: Factor of the whole.
        reduction: ``none``, ``mean`` or ``sum``.
    """

    def __init__(self, loss_name: str = "reg", loss_weight: float = 1.0, reduction: str = "mean") -> None:
        super().__init__()
        self.loss_name, self.loss_weight = loss_name, loss_weight
        self.reduction = check_reduction(reduction, "GIoULoss")

    def forward(
        self,
        boxes: torch.Tensor,
        target_boxes: torch.Tensor,
        weight: torch.Tensor | None = None,
        avg_factor: torch.Tensor | float | None = None,
    ) -> torch.Tensor:
        """Return the reduced loss.

        Args:
            boxes: (M, 4) xyxy, in any unit that `target_boxes` shares.
            target_boxes: (M, 4) xyxy.
            weight: (M,), of each pair.
            avg_factor: What ``mean`` divides by; None is M.
        """
        loss = self.loss_weight * (1.0 - giou(boxes, target_boxes))
        return weighted_reduce(loss, weight, avg_factor, reduction=self.reduction)
