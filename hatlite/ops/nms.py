"""Non-maximum suppression."""

import torch
from torchvision.ops import nms

__all__ = ["class_aware_nms"]


def class_aware_nms(
    boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, iou_threshold: float, max_keep: int | None = None
) -> torch.Tensor:
    """Return the indices (K,) int64 of the boxes that survive, best first.

    A box falls when a better one of the same class covers it with IoU > `iou_threshold`. Of equal scores the earlier box
    wins, so that equal inputs always give equal results.

    Args:
        boxes: (N, 4), xyxy, in coordinates ≥ 0.
        scores: (N,), higher is better.
        labels: (N,) int64, boxes of different classes never suppress one another.
        iou_threshold: 0…1.
        max_keep: At most so many survive.
    """
    if boxes.numel() == 0:
        return torch.zeros(0, dtype=torch.int64, device=boxes.device)
    order = torch.sort(scores, descending=True, stable=True).indices
    # Every class is moved to a place of its own; float64 keeps the fractions of a pixel that float32 would lose there.
    exact = boxes[order].double()
    apart = exact + (labels[order] * (exact.max() + 1))[:, None]
    kept = nms(apart, scores[order].double(), iou_threshold).sort().values
    return order[kept[:max_keep]]
