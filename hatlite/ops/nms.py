"""Non-maximum suppression."""

import functools
import importlib
from collections.abc import Callable

import torch

__all__ = ["class_aware_nms"]

# So many of the best are tried first, because work grows with the square; a survivor among them survives among all.
_FIRST_PREFIX = 1000


@functools.cache
def _nms() -> Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]:
    """Return torchvision's kernel; importing it costs as much as torch itself, which only a detector should pay."""
    return importlib.import_module("torchvision.ops").nms


def class_aware_nms(
    boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, iou_threshold: float, max_keep: int | None = None
) -> torch.Tensor:
    """Return the indices (K,) int64 of the boxes that survive, best first.

    A box falls when a better one of the same class covers it with IoU > `iou_threshold`. Of equal scores the earlier
    box wins, so that equal inputs always give equal results.

    Args:
        boxes: (N, 4), xyxy, in coordinates ≥ 0.
        scores: (N,), higher is better.
        labels: (N,) int64, boxes of different classes never suppress one another.
        iou_threshold: 0…1.
        max_keep: At most so many survive.
    """
    order = torch.sort(scores, descending=True, stable=True).indices
    # Every class is moved to a place of its own; float64 keeps the fractions of a pixel that float32 would lose there.
    exact = boxes[order].double()
    apart = exact + (labels[order] * (exact.amax() + 1 if len(exact) else 0))[:, None]
    rank = torch.arange(len(order), 0, -1, dtype=torch.float64, device=boxes.device)
    wanted = len(order) if max_keep is None else max_keep
    prefix = min(_FIRST_PREFIX if max_keep is not None else len(order), len(order))
    while True:
        kept = _nms()(apart[:prefix], rank[:prefix], iou_threshold)
        if len(kept) >= wanted or prefix == len(order):
            return order[kept[:wanted]]
        prefix = min(4 * prefix, len(order))
