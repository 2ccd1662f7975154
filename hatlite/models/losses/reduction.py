"""How a loss per element becomes one number."""

import torch

from hatlite.errors import BuildError

__all__ = ["REDUCTIONS", "check_reduction", "weighted_reduce"]

REDUCTIONS = ("none", "mean", "sum")


def check_reduction(reduction: str, owner: str) -> str:
    """Return `reduction` if it is one of :data:`REDUCTIONS`.

    Raises:
        BuildError: It is not; the message names the class `owner`.
    """
    if reduction not in REDUCTIONS:
        raise BuildError(f"{owner}: reduction is {reduction!r}; expected one of {', '.join(REDUCTIONS)}.")
    return reduction


def weighted_reduce(
    loss: torch.Tensor,
    weight: torch.Tensor | None = None,
    avg_factor: torch.Tensor | float | None = None,
    *,
    reduction: str = "mean",
) -> torch.Tensor:
    """Return ``loss · weight`` as it is (``none``), its sum, or its sum over `avg_factor` (``mean``).

    Args:
        loss: Any shape.
        weight: Broadcasts against `loss`; None is 1.
        avg_factor: What the mean divides by; None is the number of elements.
        reduction: One of :data:`REDUCTIONS`.
    """
    if weight is not None:
        loss = loss * weight
    if reduction == "none":
        return loss
    total = loss.sum()
    if reduction == "sum":
        return total
    return total / (max(loss.numel(), 1) if avg_factor is None else avg_factor)
