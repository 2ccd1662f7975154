"""FCOS: the network that runs on the accelerator, and what surrounds it on the host.

Tian et al., FCOS: Fully Convolutional One-Stage Object Detection, ICCV 2019.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.detectors.detector import Detector
from hatlite.models.predictions import flatten_outputs
from hatlite.ops.boxes import decode_boxes
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["FCOS"]


@OBJECT_REGISTRY.register
class FCOS(Detector):
    """A detector without anchors: every point inside an object may predict its class, sides and centerness.

    Args:
        backbone: Such as :class:`~hatlite.models.backbones.efficientnet.EfficientNet`.
        neck: Such as :class:`~hatlite.models.necks.bifpn.BiFPN`.
        head: Such as :class:`~hatlite.models.heads.fcos_head.FCOSHead`.
        targets: Decides which point learns what; needed to train.
        post_process: Makes objects of outputs; needed to detect.
        loss_cls: Of the class logits, divided by the number of positives.
        loss_centerness: Of the centerness logits at positives, divided by their number.
        loss_reg: Of the boxes at positives, weighted by geometric centerness and divided by its sum.
        pretrained: File that the float stage starts from: a checkpoint of hatlite, or the state dict of torchvision's
            classifier for the backbone. It is read by that stage alone.
        quantize: Request the fake-quant graph, as ``fuse_model()`` and ``set_qconfig()`` do. Stages that quantise carry
            it out, as they do without it; one that trains float weights refuses it.

    Raises:
        BuildError: The parts contradict one another; the message names both places.
    """

    decoder_example = "post_process=dict(type='FCOSDecoder', …)"

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        head: nn.Module,
        targets: nn.Module | None = None,
        post_process: nn.Module | None = None,
        *,
        loss_cls: nn.Module | None = None,
        loss_centerness: nn.Module | None = None,
        loss_reg: nn.Module | None = None,
        pretrained: str | None = None,
        quantize: bool = False,
    ) -> None:
        losses = {"loss_cls": loss_cls, "loss_centerness": loss_centerness, "loss_reg": loss_reg}
        parts = (backbone, neck, head, targets, post_process)
        super().__init__(*parts, losses=losses, pretrained=pretrained, quantize=quantize)

    def bind_parts(self, head: nn.Module) -> None:
        """Hand the head's classes and strides to its surroundings."""
        if self.targets is not None:
            self.targets.bind(self.num_classes, self.strides)
            self.loss_cls.bind(self.num_classes, "loss_cls")
        if self.post_process is not None:
            self.post_process.bind(self.num_classes, self.strides)
            _check_upscale(head.upscale_bbox_pred, self.post_process.upscale_bbox_pred)

    def losses_of(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Return the losses by the name of their argument, for :meth:`compute_losses`."""
        predictions = flatten_outputs(outputs, self.strides)
        targets = self.targets(predictions.detach(), batch["gt_bboxes"], batch["gt_classes"])
        positives = self.normaliser(targets.positive.sum())
        total_weight = self.normaliser(targets.box_weights.sum(), least=1e-12)  # of nothing it is 0, as is the loss
        ltrb = predictions.bbox_regression[targets.positive]
        centre = torch.zeros(len(ltrb), 2, device=ltrb.device)  # GIoU does not care where the point lies
        boxes, target_boxes = decode_boxes(centre, ltrb), decode_boxes(centre, targets.ltrb)
        logits = predictions.cls_logits.flatten(0, 1)
        cls = self.loss_cls(logits, targets.classes.flatten(), targets.class_weights.flatten(), positives)
        centerness = self.loss_centerness(predictions.centerness[targets.positive], targets.centerness, None, positives)
        reg = self.loss_reg(boxes, target_boxes, targets.box_weights, total_weight)
        return {"loss_cls": cls, "loss_centerness": centerness, "loss_reg": reg}


def _check_upscale(head: bool, decoder: bool) -> None:
    if head == decoder:
        both = "both ask" if head else "neither asks"
        raise BuildError(
            f"FCOS: head.upscale_bbox_pred and post_process.upscale_bbox_pred are both {head}, so {both} for "
            "distances times stride; set exactly one of them to True, for example head.upscale_bbox_pred=True."
        )
