"""Which point learns which object, decided anew in every step by what the network predicts.

The scheme of OTA in its simple form: Ge et al., OTA: Optimal Transport Assignment for Object Detection, CVPR 2021, and
YOLOX, 2021. Legend: N images, P points, T boxes of all images together, M candidate pairs (point inside box).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.agreement import agree, rising_strides
from hatlite.models.losses.focal_loss import FocalLoss
from hatlite.models.losses.giou_loss import GIoULoss
from hatlite.models.predictions import DensePredictions
from hatlite.ops.boxes import decode_boxes, encode_boxes, geometric_centerness, iou
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["DenseTargets", "DynamicFcosTarget"]


@dataclass(frozen=True)
class DenseTargets:
    """What every point should say.

    Attributes:
        classes: (N, P) int64, the class of the point's object, the background label elsewhere.
        class_weights: (N, P) float32, 0 where the class loss must look away (ignore regions), else 1.
        positive: (N, P) bool, points that have an object, K in all.
        ltrb: (K, 4) float32, distances to the object's sides in units of the stride, in the order of
            ``positive.nonzero()``.
        centerness: (K,) float32, IoU of prediction and object.
        box_weights: (K,) float32, geometric centerness of the point in its object.
    """

    classes: torch.Tensor
    class_weights: torch.Tensor
    positive: torch.Tensor
    ltrb: torch.Tensor
    centerness: torch.Tensor
    box_weights: torch.Tensor


@dataclass(frozen=True)
class _Pairs:
    """Candidate pairs: index of image, point and box (M,), IoU and cost (M,), target ltrb (M, 4)."""

    image: torch.Tensor
    point: torch.Tensor
    box: torch.Tensor
    ltrb: torch.Tensor
    iou: torch.Tensor
    cost: torch.Tensor


def _rank_in_group(groups: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return (M,) int64: how many of its group come before an element by `values`, ascending; ties keep their order."""
    by_value = torch.sort(values, stable=True).indices
    order = by_value[torch.sort(groups[by_value], stable=True).indices]
    grouped = groups[order]
    position = torch.arange(len(order), device=order.device)
    is_first = torch.ones_like(grouped, dtype=torch.bool)
    is_first[1:] = grouped[1:] != grouped[:-1]
    start = torch.where(is_first, position, 0).cummax(dim=0).values if len(order) else position
    ranks = torch.empty_like(position)
    ranks[order] = position - start
    return ranks


@OBJECT_REGISTRY.register
class DynamicFcosTarget(nn.Module):
    """Give every object the k points that would cost it least, k being the sum of its best IoUs.

    Per image: a point is a candidate for a box when it lies inside. The cost of a pair is `loss_cls` summed over all
    classes plus `loss_reg` of the predicted box. An object takes its ``k = max(1, ⌊sum of its topK best IoUs⌋)``
    cheapest candidates; a point that several objects take stays with the cheapest. Points that lie in an ignore region
    (class −1) and have no object are left out of the class loss. An object so small that no point lies inside it has no
    positive.

    Args:
        topK: Number of IoUs that are summed to k, from 1 up.
        loss_cls: Class part of the cost, elementwise.
        loss_reg: Box part of the cost, elementwise; its weight is 2 unless given.
        strides: Strides of the head, fine to coarse; None takes them from there.
        cls_out_channels: Number of classes without background; None takes it from the head.
        background_label: Class of points without object, the number of classes; None takes that.

    Raises:
        BuildError: `topK` is below 1, the strides do not rise, or a loss of a pair is reduced.
    """

    def __init__(
        self,
        topK: int = 10,
        loss_cls: FocalLoss | None = None,
        loss_reg: GIoULoss | None = None,
        *,
        strides: Sequence[int] | None = None,
        cls_out_channels: int | None = None,
        background_label: int | None = None,
    ) -> None:
        super().__init__()
        if topK < 1:
            raise BuildError(
                f"DynamicFcosTarget: targets.topK is {topK}; expected a whole number from 1 up, such as 10: so many of "
                "an object's IoUs say how many cells it takes."
            )
        self.top_k = topK
        self.loss_cls = FocalLoss(reduction="none") if loss_cls is None else loss_cls
        self.loss_reg = GIoULoss(loss_weight=2.0, reduction="none") if loss_reg is None else loss_reg
        for name, loss in (("loss_cls", self.loss_cls), ("loss_reg", self.loss_reg)):
            agree(
                "how a cost is reduced", ("the cost of a pair", "none"), (f"targets.{name}.reduction", loss.reduction)
            )
        place = "DynamicFcosTarget: targets.strides"
        self.strides = None if strides is None else rising_strides(place, strides)
        self.num_classes, self.background_label = cls_out_channels, background_label

    def bind(self, num_classes: int, strides: Sequence[int]) -> None:
        """Take the number of classes and the strides from the head, or compare them.

        Raises:
            BuildError: They differ; the message names both places.
        """
        classes = ("head.num_classes", num_classes)
        self.num_classes = agree("the number of classes", classes, ("targets.cls_out_channels", self.num_classes))
        self.background_label = agree(
            "the label of background", classes, ("targets.background_label", self.background_label)
        )
        self.strides = agree(
            "the strides of the outputs", ("head.out_strides", tuple(strides)), ("targets.strides", self.strides)
        )
        self.loss_cls.bind(num_classes, "targets.loss_cls")

    @torch.no_grad()
    def forward(
        self, predictions: DensePredictions, boxes: Sequence[torch.Tensor], classes: Sequence[torch.Tensor]
    ) -> DenseTargets:
        """Return the targets of all points.

        Args:
            predictions: Of the network, gradients play no part.
            boxes: Per image (n, 4) float32 xyxy in pixels of the network input; n may be 0.
            classes: Per image (n,) int64; −1 marks a region to ignore.
        """
        device = predictions.points.device
        counts = torch.tensor([len(b) for b in boxes], device=device)
        image = torch.repeat_interleave(torch.arange(len(boxes), device=device), counts)
        all_boxes = torch.cat([b.reshape(-1, 4) for b in boxes]).to(device, torch.float32)
        all_classes = torch.cat([c.reshape(-1) for c in classes]).to(device, torch.int64)
        real = all_classes >= 0
        pairs = self._candidates(predictions, image[real], all_boxes[real], all_classes[real])
        matches = self._match(pairs, int(real.sum()), len(predictions.points))
        targets = self._fill(predictions, pairs, matches, all_classes[real])
        self._look_away(targets, predictions.points, image[~real], all_boxes[~real])
        return targets

    def _candidates(
        self, predictions: DensePredictions, image: torch.Tensor, boxes: torch.Tensor, classes: torch.Tensor
    ) -> _Pairs:
        box, point = _inside(predictions.points, boxes).nonzero(as_tuple=True)
        ltrb = encode_boxes(predictions.points[point], boxes[box]) / predictions.strides[point, None]
        origin = torch.zeros_like(ltrb[:, :2])  # overlap does not care where the point lies
        predicted = decode_boxes(origin, predictions.bbox_regression[image[box], point])
        wanted = decode_boxes(origin, ltrb)
        cost = self._cls_cost(predictions.cls_logits, image[box], point, classes[box]) + self.loss_reg(
            predicted, wanted
        )
        return _Pairs(image[box], point, box, ltrb, iou(predicted, wanted), cost)

    def _cls_cost(
        self, logits: torch.Tensor, image: torch.Tensor, point: torch.Tensor, classes: torch.Tensor
    ) -> torch.Tensor:
        """Return (M,): the loss of background at the point, with that of the box's class exchanged for the target's."""
        touched = torch.zeros(logits.shape[:2], dtype=torch.bool, device=logits.device)
        touched[image, point] = True
        background = torch.zeros(logits.shape[:2], device=logits.device)
        background[touched] = self.loss_cls.elements(logits[touched], False).sum(dim=-1)
        own = logits[image, point, classes]
        exchange = self.loss_cls.elements(own, True) - self.loss_cls.elements(own, False)
        return background[image, point] + exchange

    def _match(self, pairs: _Pairs, num_boxes: int, num_points: int) -> torch.Tensor:
        """Return the indices (K,) of the pairs that become positive, ordered by image and point."""
        best = torch.where(_rank_in_group(pairs.box, -pairs.iou) < self.top_k, pairs.iou, 0.0)
        total = torch.zeros(num_boxes, device=best.device).index_add_(0, pairs.box, best)
        k = total.long().clamp(min=1)
        chosen = (_rank_in_group(pairs.box, pairs.cost) < k[pairs.box]).nonzero().squeeze(1)
        place = pairs.image[chosen] * num_points + pairs.point[chosen]
        cheapest = _rank_in_group(place, pairs.cost[chosen]) == 0
        return chosen[cheapest][torch.argsort(place[cheapest])]

    def _fill(
        self, predictions: DensePredictions, pairs: _Pairs, matches: torch.Tensor, box_classes: torch.Tensor
    ) -> DenseTargets:
        shape = predictions.centerness.shape
        where = (pairs.image[matches], pairs.point[matches])
        background = predictions.cls_logits.shape[-1] if self.background_label is None else self.background_label
        classes = torch.full(shape, background, dtype=torch.int64, device=predictions.points.device)
        classes[where] = box_classes[pairs.box[matches]]
        positive = torch.zeros(shape, dtype=torch.bool, device=classes.device)
        positive[where] = True
        ltrb = pairs.ltrb[matches]
        weights = torch.ones(shape, device=classes.device)
        return DenseTargets(classes, weights, positive, ltrb, pairs.iou[matches], geometric_centerness(ltrb))

    @staticmethod
    def _look_away(targets: DenseTargets, points: torch.Tensor, image: torch.Tensor, regions: torch.Tensor) -> None:
        region, point = _inside(points, regions).nonzero(as_tuple=True)
        targets.class_weights[image[region], point] = 0.0
        targets.class_weights[targets.positive] = 1.0


def _inside(points: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Return (T, P) bool: point strictly inside box."""
    x, y = points[:, 0], points[:, 1]
    x1, y1, x2, y2 = (side[:, None] for side in boxes.unbind(dim=1))
    return (x > x1) & (x < x2) & (y > y1) & (y < y2)
