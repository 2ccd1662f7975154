"""The loss of a grid of cells with two boxes each, after Redmon et al., You Only Look Once, CVPR 2016."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from hatlite.errors import BuildError
from hatlite.models.assigners.grid_target import GridTargets
from hatlite.models.predictions import GridPredictions
from hatlite.ops.boxes import iou
from hatlite.ops.processes import process, sum_over_processes
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["GNetDetLoss"]

_SHIFT = 1e-8  # added to every prediction, so that the square root has a slope at 0


class _TamedRoot(torch.autograd.Function):
    """The square root, with a slope that ends at ``1 / (2 · least)``.

    The true slope of 1e-8 is 5000: one cell whose width is 0 would outweigh the rest of the batch.
    """

    @staticmethod
    def forward(ctx, x: torch.Tensor, least: float) -> torch.Tensor:  # type: ignore[override]
        root = x.sqrt()
        ctx.save_for_backward(root)
        ctx.least = least
        return root

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        (root,) = ctx.saved_tensors
        return grad / (2 * root.clamp(min=ctx.least)), None


@OBJECT_REGISTRY.register
class GNetDetLoss(nn.Module):
    """Smooth L1 everywhere, summed over cells and divided by the number of objects: its moving average in training.

    With every prediction raised by 1e-8, and of the two slots of a cell with an object the *responsible* one, whose box
    has the higher IoU (the first of equals):

    - ``loc``: offsets, and square roots of sides, of responsible slots;
    - ``contain``: their confidence against that IoU;
    - ``not_contain``: the confidence of the other slots against 0;
    - ``noobj``: both confidences of cells without object against 0;
    - ``cls``: the class scores of cells with an object against 0 and 1;

    ``[l_coord · loc + 2 · contain + not_contain + l_noobj · noobj + cls] / normaliser`` is their sum. In eval mode the
    normaliser is the number of objects at hand, at least 1: a program, which knows no average, has the validation loss
    of the network that it was lowered from.

    Args:
        loss_weights: (l_coord, l_noobj).
        normaliser: What the moving average starts from, above 0.
        normaliser_momentum: Its momentum, 0…1. It moves with the objects of the global batch, in training alone.
        detach_iou: The IoU that ``contain`` aims at is a number. Else its gradient reaches the box too, as published: a
            box may then leave its object to agree with a low confidence, and does where `l_noobj` pushes hard.
        least_root: Square root of a side below which the slope of the root grows no further, above 0; values stay.

    Raises:
        BuildError: A number is outside its range.
    """

    reduction = "mean"
    loss_names = ("loc", "cls", "contain", "not_contain", "noobj")

    def __init__(
        self,
        loss_weights: Sequence[float] = (5.0, 0.005),
        *,
        normaliser: float = 100.0,
        normaliser_momentum: float = 0.9,
        detach_iou: bool = True,
        least_root: float = 0.1,
    ) -> None:
        super().__init__()
        if len(loss_weights) != 2 or min(loss_weights) < 0:
            raise BuildError(f"GNetDetLoss: loss_weights is {loss_weights!r}; expected two numbers from 0 up.")
        if not 0 <= normaliser_momentum <= 1:
            raise BuildError(f"GNetDetLoss: normaliser_momentum is {normaliser_momentum}; expected a number in 0…1.")
        for key, value in (("normaliser", normaliser), ("least_root", least_root)):
            if not value > 0:
                raise BuildError(f"GNetDetLoss: {key} is {value}; expected a number above 0.")
        self.loc_weight, self.noobj_weight = loss_weights
        self.momentum, self.detach_iou, self.least_root = normaliser_momentum, detach_iou, least_root
        self.register_buffer("normaliser", torch.tensor(float(normaliser)))

    def forward(self, predictions: GridPredictions, targets: GridTargets) -> dict[str, torch.Tensor]:
        """Return the weighted and divided terms by :attr:`loss_names`; of several processes each its share.

        Args:
            predictions: With gradient.
            targets: Of the same cells.
        """
        positive = targets.positive
        divisor = self._divisor(positive.sum())
        offsets, sizes = (x[positive] + _SHIFT for x in (predictions.offsets, predictions.sizes))  # [K, 2, 2]
        confidence = predictions.confidence[positive] + _SHIFT  # [K, 2]
        wanted, extent = targets.offsets[positive], targets.sizes[positive]  # [K, 2]
        grid = positive.shape[-1]
        overlaps = iou(_corners(offsets / grid, sizes), _corners(wanted / grid, extent)[:, None])  # [K, 2]
        best = (overlaps[:, 1] > overlaps[:, 0]).long()[:, None]
        aim = overlaps.gather(1, best)
        roots = _TamedRoot.apply(_slot(sizes, best), self.least_root)
        loc = _smooth_l1(_slot(offsets, best), wanted) + _smooth_l1(roots, extent.sqrt())
        terms = {
            "loc": self.loc_weight * loc,
            "cls": _smooth_l1(predictions.classes[positive] + _SHIFT, targets.classes[positive]),
            "contain": 2 * _smooth_l1(confidence.gather(1, best), aim.detach() if self.detach_iou else aim),
            "not_contain": _towards_zero(confidence.gather(1, 1 - best)),
            "noobj": self.noobj_weight * _towards_zero(predictions.confidence[targets.empty] + _SHIFT),
        }
        return {name: term / divisor for name, term in terms.items()}

    def _divisor(self, count: torch.Tensor) -> torch.Tensor:
        """Return what this process's sums are divided by: in training the average, with the batch's objects taken in.

        The mean of all processes' losses is the loss of the global batch if each divides by its part of the average.
        """
        if not self.training:
            return count.to(self.normaliser).clamp(min=1)
        total = sum_over_processes(count.to(self.normaliser)).clamp(min=1)
        self.normaliser.mul_(self.momentum).add_((1 - self.momentum) * total)
        return self.normaliser / process()[1]


def _corners(centre: torch.Tensor, sides: torch.Tensor) -> torch.Tensor:
    return torch.cat([centre - sides / 2, centre + sides / 2], dim=-1)


def _slot(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return (K, 2) of `values` (K, 2, 2): the slot `index` (K, 1)."""
    return values.gather(1, index[..., None].expand(-1, 1, 2)).squeeze(1)


def _smooth_l1(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.smooth_l1_loss(values, targets, reduction="sum")


def _towards_zero(values: torch.Tensor) -> torch.Tensor:
    return _smooth_l1(values, torch.zeros_like(values))
