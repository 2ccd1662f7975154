"""SSD. Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016."""

import torch
from torch import nn
from torch.nn import functional as F

from hatlite.errors import BuildError
from hatlite.models.anchors import DeltaXYWHCoder
from hatlite.models.assigners.hard_negatives import hard_negatives
from hatlite.models.assigners.max_iou_assigner import AnchorTargets
from hatlite.models.detectors.anchor_detector import AnchorDetector
from hatlite.models.predictions import AnchorPredictions
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["SSD"]


@OBJECT_REGISTRY.register
class SSD(AnchorDetector):
    """Anchors whose classes exclude one another, background being one of them.

    Of the anchors without object only the hardest of each image count in the class loss: `neg_pos_ratio` for each one
    with an object. An image without objects therefore teaches nothing.

    Args:
        backbone: Image in, list of features out.
        neck: Such as :class:`~hatlite.models.necks.fpn.FPN`.
        head: Such as :class:`~hatlite.models.heads.ssd_head.SSDHead`.
        targets: Such as :class:`~hatlite.models.assigners.max_iou_assigner.MaxIoUAssigner`; needed to train.
        post_process: Such as :class:`~hatlite.models.postprocess.anchor_decoder.SSDDecoder`; needed to detect.
        box_coder: How a box is written as a correction of an anchor; None has stds (0.1, 0.1, 0.2, 0.2).
        loss_cls: Cross entropy over classes.
        loss_reg: Such as :class:`~hatlite.models.losses.smooth_l1_loss.SmoothL1Loss`.
        neg_pos_ratio: Background anchors per anchor with object.
        pretrained: File that the float stage starts from: a checkpoint of hatlite, or the state dict of torchvision's
            classifier for the backbone. It is read by that stage alone.
        quantize: Request the fake-quant graph, as ``fuse_model()`` and ``set_qconfig()`` do. Stages that quantise carry
            it out, as they do without it; one that trains float weights refuses it.

    Raises:
        BuildError: The parts contradict one another, or `neg_pos_ratio` is negative.
    """

    decoder_example = "post_process=dict(type='SSDDecoder', …)"
    softmax = True
    coder_stds = (0.1, 0.1, 0.2, 0.2)

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        head: nn.Module,
        targets: nn.Module | None = None,
        post_process: nn.Module | None = None,
        *,
        box_coder: DeltaXYWHCoder | None = None,
        loss_cls: nn.Module | None = None,
        loss_reg: nn.Module | None = None,
        neg_pos_ratio: float = 3.0,
        pretrained: str | None = None,
        quantize: bool = False,
    ) -> None:
        if not neg_pos_ratio >= 0:
            raise BuildError(f"SSD: neg_pos_ratio is {neg_pos_ratio}; expected 0 or more, 3 as published.")
        losses = {"loss_cls": loss_cls, "loss_reg": loss_reg}
        around = {"box_coder": box_coder, "pretrained": pretrained, "quantize": quantize, **losses}
        super().__init__(backbone, neck, head, targets, post_process, **around)
        self.neg_pos_ratio = neg_pos_ratio

    def class_weights(self, predictions: AnchorPredictions, targets: AnchorTargets) -> torch.Tensor:
        """Return 1 for anchors with object and the hardest of those without, 0 for the others."""
        logits = predictions.cls_logits.detach().transpose(1, 2)
        loss = F.cross_entropy(logits, targets.classes, reduction="none")  # [N, A]
        counts = (targets.positive.sum(dim=1) * self.neg_pos_ratio).long()
        negative = ~targets.positive & (targets.class_weights > 0)
        return (targets.positive | hard_negatives(loss, negative, counts)).float()
