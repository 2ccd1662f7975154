"""Hard negative mining. Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016, section 2.2."""

import torch

__all__ = ["hard_negatives"]


def hard_negatives(loss: torch.Tensor, negative: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return (N, A) bool: the negatives of each image with the highest loss; of equal ones the earlier.

    Args:
        loss: (N, A), of every anchor.
        negative: (N, A) bool, which anchors are background.
        counts: (N,) int64, how many of each image are wanted; fewer are chosen where there are fewer.
    """
    order = torch.sort(loss.masked_fill(~negative, -torch.inf), dim=1, descending=True, stable=True).indices
    place = torch.arange(loss.shape[1], device=loss.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, place)
    return negative & (rank < counts[:, None])
