"""FCOS: the network that runs on the accelerator, and what surrounds it on the host.

Tian et al., FCOS: Fully Convolutional One-Stage Object Detection, ICCV 2019.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hatlite.errors import BuildError, DataError
from hatlite.models.detectors.network import Network
from hatlite.models.predictions import flatten_outputs
from hatlite.ops.boxes import decode_boxes
from hatlite.registry import OBJECT_REGISTRY
from hatlite.structures import Detections

__all__ = ["FCOS"]

_LOSSES = ("loss_cls", "loss_centerness", "loss_reg")


@OBJECT_REGISTRY.register
class FCOS(nn.Module):
    """A detector without anchors: every point inside an object may predict its class, sides and centerness.

    ``network`` is replaced by later stages; everything else stays as it is in float.

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

    Raises:
        BuildError: The parts contradict one another; the message names both places.
    """

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
    ) -> None:
        super().__init__()
        self.network = Network(backbone, neck, head)
        self.targets, self.post_process = targets, post_process
        self.loss_cls, self.loss_centerness, self.loss_reg = loss_cls, loss_centerness, loss_reg
        self.pretrained = pretrained
        self.num_classes: int = head.num_classes
        self.strides: tuple[int, ...] = tuple(head.out_strides)
        self._size_divisor = max(neck.out_strides)
        if targets is not None:
            targets.bind(self.num_classes, self.strides)
            self._check_losses()
        if post_process is not None:
            post_process.bind(self.num_classes, self.strides)
            _check_upscale(head.upscale_bbox_pred, post_process.upscale_bbox_pred)

    def _check_losses(self) -> None:
        missing = [name for name in _LOSSES if getattr(self, name) is None]
        if missing:
            raise BuildError(
                f"FCOS: targets is given but {', '.join(missing)} is not; training needs all of {', '.join(_LOSSES)}."
            )
        for name in _LOSSES:
            if getattr(self, name).reduction == "none":
                raise BuildError(f"FCOS: {name}.reduction is 'none', but a loss must be one number; set it to 'mean'.")
        names = [getattr(self, name).loss_name for name in _LOSSES]
        if len(set(names)) < len(names):
            raise BuildError(f"FCOS: the loss_name of {', '.join(_LOSSES)} are {', '.join(names)}; they must differ.")
        self.loss_cls.bind(self.num_classes, "loss_cls")

    def forward(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor] | list[Detections]:
        """Return losses by name in train mode, objects per image in eval mode.

        Args:
            batch: ``img`` (N, 3, H, W) float32 and lists of length N, as docs/architecture.md describes them.

        Raises:
            DataError: The sides of the image are no multiples of the coarsest stride.
        """
        self._check_size(batch["img"])
        # Under autocast the network computes in half precision; boxes and losses need more bits.
        outputs = {name: value.float() for name, value in self.network(batch["img"]).items()}
        return self.compute_losses(outputs, batch) if self.training else self.detect(outputs, batch)

    def _check_size(self, img: torch.Tensor) -> None:
        height, width = img.shape[-2:]
        if height % self._size_divisor or width % self._size_divisor:
            raise DataError(
                f"FCOS: img is {height}×{width} (height×width), but both sides must be multiples of "
                f"{self._size_divisor}, the coarsest stride of the neck; set Pad's divisor to {self._size_divisor}."
            )

    def compute_losses(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Return the scalar losses by name. Without a positive the losses of box and centerness are 0.

        Args:
            outputs: Of ``network``, with gradient.
            batch: ``gt_bboxes`` and ``gt_classes``, lists of length N.

        Raises:
            BuildError: The detector was built without targets.
        """
        if self.targets is None:
            raise BuildError(
                "FCOS: losses need targets and loss_cls, loss_centerness, loss_reg in the model; they were left out."
            )
        predictions = flatten_outputs(outputs, self.strides)
        targets = self.targets(predictions.detach(), batch["gt_bboxes"], batch["gt_classes"])
        positives = targets.positive.sum().clamp(min=1)
        ltrb = predictions.bbox_regression[targets.positive]
        centre = torch.zeros(len(ltrb), 2, device=ltrb.device)  # GIoU does not care where the point lies
        boxes, target_boxes = decode_boxes(centre, ltrb), decode_boxes(centre, targets.ltrb)
        logits = predictions.cls_logits.flatten(0, 1)
        cls = self.loss_cls(logits, targets.classes.flatten(), targets.class_weights.flatten(), positives)
        centerness = self.loss_centerness(predictions.centerness[targets.positive], targets.centerness, None, positives)
        # An empty sum is 0 and any divisor leaves it so; 1 keeps it from being 0 / 0.
        total_weight = targets.box_weights.sum() if len(ltrb) else 1.0
        reg = self.loss_reg(boxes, target_boxes, targets.box_weights, total_weight)
        losses = (self.loss_cls, self.loss_centerness, self.loss_reg)
        return {loss.loss_name: value for loss, value in zip(losses, (cls, centerness, reg), strict=True)}

    def detect(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> list[Detections]:
        """Return the objects of every image from the `outputs` of ``network``.

        Raises:
            BuildError: The detector was built without post_process.
        """
        if self.post_process is None:
            raise BuildError(
                "FCOS: detection needs post_process=dict(type='FCOSDecoder', …) in the model; it was left out."
            )
        return self.post_process(outputs, batch)


def _check_upscale(head: bool, decoder: bool) -> None:
    if head == decoder:
        both = "both ask" if head else "neither asks"
        raise BuildError(
            f"FCOS: head.upscale_bbox_pred and post_process.upscale_bbox_pred are both {head}, so {both} for "
            "distances times stride; set exactly one of them to True, for example head.upscale_bbox_pred=True."
        )
