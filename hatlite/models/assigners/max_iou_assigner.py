"""Which anchor learns which object: the one that it overlaps most.

Legend: N images, A anchors, T boxes of one image, K positives of all images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.agreement import agree
from hatlite.ops.boxes import iou, overlap
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["AnchorTargets", "MaxIoUAssigner"]

_BACKGROUND, _LOOK_AWAY = -1, -2


@dataclass(frozen=True)
class AnchorTargets:
    """What every anchor should say.

    Attributes:
        classes: (N, A) int64, the class of the anchor's object, the number of classes for background.
        class_weights: (N, A) float32, 0 where the class loss must look away, else 1.
        positive: (N, A) bool, anchors that have an object, K in all.
        boxes: (K, 4) float32, the objects of the positives, xyxy, in the order of ``positive.nonzero()``.
    """

    classes: torch.Tensor
    class_weights: torch.Tensor
    positive: torch.Tensor
    boxes: torch.Tensor


@OBJECT_REGISTRY.register
class MaxIoUAssigner(nn.Module):
    """Give every anchor the object that it overlaps most, and every object its best anchor.

    An anchor with IoU ≥ `pos_iou_thr` has the object; one below `neg_iou_thr` is background; between the two the class
    loss looks away. Then every object takes its best anchor, whatever that had, if their IoU is at least `min_pos_iou`
    and above 0; of several objects with the same best anchor the last one takes it.

    Args:
        pos_iou_thr: 0…1.
        neg_iou_thr: 0…1, at most `pos_iou_thr`.
        min_pos_iou: 0…1.
        ignore_iof_thr: An anchor of which more than this part lies in one region to ignore (class −1) takes no part at
            all. −1 leaves such regions out of consideration: anchors in them are background.
        gt_max_assign_all: An object takes all anchors that share its highest IoU, else the first of them.
        num_classes: Number of classes without background; None takes it from the head.

    Raises:
        BuildError: A threshold is outside its range.
    """

    def __init__(
        self,
        pos_iou_thr: float = 0.5,
        neg_iou_thr: float = 0.5,
        min_pos_iou: float = 0.0,
        *,
        ignore_iof_thr: float = -1.0,
        gt_max_assign_all: bool = True,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= neg_iou_thr <= pos_iou_thr <= 1 or not 0 <= min_pos_iou <= 1:
            raise BuildError(
                f"MaxIoUAssigner: neg_iou_thr is {neg_iou_thr}, pos_iou_thr {pos_iou_thr} and min_pos_iou "
                f"{min_pos_iou}; expected 0 ≤ neg_iou_thr ≤ pos_iou_thr ≤ 1 and 0 ≤ min_pos_iou ≤ 1."
            )
        self.pos_iou_thr, self.neg_iou_thr, self.min_pos_iou = pos_iou_thr, neg_iou_thr, min_pos_iou
        self.ignore_iof_thr, self.gt_max_assign_all = ignore_iof_thr, gt_max_assign_all
        self.num_classes = num_classes

    def bind(self, num_classes: int) -> None:
        """Take the number of classes from the head, or compare it.

        Raises:
            BuildError: They differ; the message names both places.
        """
        mine = ("targets.num_classes", self.num_classes)
        self.num_classes = agree("the number of classes", ("head.num_classes", num_classes), mine)

    @torch.no_grad()
    def forward(
        self, anchors: torch.Tensor, boxes: Sequence[torch.Tensor], classes: Sequence[torch.Tensor]
    ) -> AnchorTargets:
        """Return the targets of all anchors.

        Args:
            anchors: (A, 4) float32 xyxy, pixels of the network input.
            boxes: Per image (n, 4) float32 xyxy in the same pixels; n may be 0.
            classes: Per image (n,) int64; −1 marks a region to ignore.
        """
        device = anchors.device
        assigned, labels, matched = [], [], []
        for image_boxes, image_classes in zip(boxes, classes, strict=True):
            image_boxes, image_classes = image_boxes.to(device, torch.float32).reshape(-1, 4), image_classes.to(device)
            real = image_classes >= 0
            objects, kinds = image_boxes[real], image_classes[real]
            index = self._assign(anchors, objects, image_boxes[~real])
            background = kinds.new_full((1,), self.num_classes)
            labels.append(torch.cat([kinds, background])[torch.where(index < 0, len(kinds), index)])
            matched.append(objects[index[index >= 0]])
            assigned.append(index)
        indices = torch.stack(assigned)
        weights = (indices != _LOOK_AWAY).float()
        return AnchorTargets(torch.stack(labels), weights, indices >= 0, torch.cat(matched))

    def _assign(self, anchors: torch.Tensor, objects: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
        """Return (A,) int64: the index of each anchor's object, or that it is background or to be left out."""
        index = torch.full((len(anchors),), _BACKGROUND, device=anchors.device)
        ignored = self._ignored(anchors, regions)
        if len(objects):
            overlaps = iou(anchors[:, None], objects[None])  # [A, T]
            overlaps[ignored] = -1.0
            best, own = overlaps.max(dim=1)
            index[best >= self.neg_iou_thr] = _LOOK_AWAY
            index = torch.where(best >= self.pos_iou_thr, own, index)
            taken = self._taken(overlaps)
            index = torch.where(taken >= 0, taken, index)
        return torch.where(ignored, _LOOK_AWAY, index)

    def _taken(self, overlaps: torch.Tensor) -> torch.Tensor:
        """Return (A,) int64: the last object whose best anchor this is, −1 where it is of none."""
        highest, first = overlaps.max(dim=0)  # [T]
        is_best = overlaps == highest
        if not self.gt_max_assign_all:
            is_best = torch.zeros_like(is_best).scatter_(0, first[None], True)
        is_best &= (highest >= self.min_pos_iou) & (highest > 0)
        numbers = torch.arange(overlaps.shape[1], device=overlaps.device)
        return torch.where(is_best, numbers, -1).amax(dim=1)

    def _ignored(self, anchors: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
        if self.ignore_iof_thr < 0 or not len(regions):
            return torch.zeros(len(anchors), dtype=torch.bool, device=anchors.device)
        shared, _ = overlap(anchors[:, None], regions[None])
        area = (anchors[:, 2] - anchors[:, 0]) * (anchors[:, 3] - anchors[:, 1])
        return (shared / area[:, None]).amax(dim=1) > self.ignore_iof_thr
