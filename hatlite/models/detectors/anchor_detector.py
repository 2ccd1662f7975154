"""Detectors that correct anchors: the class and the box of each one that has an object."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hatlite.errors import BuildError, DataError
from hatlite.models.anchors import DeltaXYWHCoder
from hatlite.models.assigners.max_iou_assigner import AnchorTargets
from hatlite.models.detectors.detector import Detector
from hatlite.models.predictions import AnchorPredictions, flatten_anchor_outputs

__all__ = ["AnchorDetector"]


class AnchorDetector(Detector):
    """Both losses are sums over anchors, divided by the number of anchors of the batch that have an object.

    Args:
        backbone: Image in, list of features out.
        neck: Such as :class:`~hatlite.models.necks.fpn.FPN`.
        head: With anchors.
        targets: Decides which anchor learns what, such as
            :class:`~hatlite.models.assigners.max_iou_assigner.MaxIoUAssigner`; needed to train.
        post_process: Makes objects of outputs; needed to detect.
        box_coder: How a box is written as a correction of an anchor.
        loss_cls: Of the class logits.
        loss_reg: Of the corrections of anchors that have an object.
        pretrained: File that the float stage starts from: a checkpoint of hatlite, or the state dict of torchvision's
            classifier for the backbone. It is read by that stage alone.
        quantize: Request the fake-quant graph, as ``fuse_model()`` and ``set_qconfig()`` do. Stages that quantise carry
            it out, as they do without it; one that trains float weights refuses it.

    Raises:
        BuildError: The parts contradict one another; the message names both places.
    """

    softmax: bool
    """Whether classes exclude one another."""
    coder_stds: tuple[float, ...]
    """Of the box coder that a config leaves out."""

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
        pretrained: str | None = None,
        quantize: bool = False,
    ) -> None:
        self._coder = DeltaXYWHCoder(stds=self.coder_stds) if box_coder is None else box_coder
        self._anchors, self._cls_channels = head.anchor_generator, head.cls_channels
        self.input_size = head.anchor_generator.input_size
        losses = {"loss_cls": loss_cls, "loss_reg": loss_reg}
        around: dict[str, Any] = {"losses": losses, "pretrained": pretrained, "quantize": quantize}
        super().__init__(backbone, neck, head, targets, post_process, **around)

    def bind_parts(self, head: nn.Module) -> None:
        """Hand the head's classes, strides and anchors to its surroundings."""
        if head.background != self.softmax:
            kind, other = ("SSDHead", "RetinaHead") if self.softmax else ("RetinaHead", "SSDHead")
            raise BuildError(f"{self._kind} takes a head such as {kind}, not one that counts classes like {other}.")
        if self.targets is not None:
            self.targets.bind(self.num_classes)
            self._check_cls_loss()
        if self.post_process is not None:
            self.post_process.bind(self.num_classes, self.strides)
            self.post_process.bind_anchors(self._anchors, self._coder, head.background)

    def _check_cls_loss(self) -> None:
        sigmoid = getattr(self.loss_cls, "use_sigmoid", True)  # FocalLoss knows nothing else
        if sigmoid == self.softmax:
            right = "dict(type='CrossEntropyLossV2', use_sigmoid=False)" if self.softmax else "dict(type='FocalLoss')"
            raise BuildError(f"{self._kind}: loss_cls does not suit the classes of its head; take {right}.")
        if hasattr(self.loss_cls, "bind"):
            self.loss_cls.bind(self.num_classes, "loss_cls")

    def check_size(self, height: int, width: int) -> None:
        """Refuse a size for which there are no anchors.

        Raises:
            DataError: The anchors are made for another size, or levels would not fit onto one another.
        """
        expected = self.input_size
        if expected is not None and expected != (height, width):
            raise DataError(
                f"{self._kind}: img is {height}×{width} (height×width), but the anchors are made for "
                f"{expected[0]}×{expected[1]}; resize images to that with dict(type='Resize', img_scale={expected}, "
                "keep_ratio=False), or change input_size of the anchor_generator."
            )
        super().check_size(height, width)

    def losses_of(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Return the losses by the name of their argument, for :meth:`compute_losses`."""
        predictions = flatten_anchor_outputs(outputs, self.strides, self._cls_channels)
        anchors = self._anchors.anchors(predictions.sizes, predictions.deltas.device)
        targets = self.targets(anchors, batch["gt_bboxes"], batch["gt_classes"])
        positives = self.normaliser(targets.positive.sum())
        weights = self.class_weights(predictions, targets)
        logits = predictions.cls_logits.flatten(0, 1)
        cls = self.loss_cls(logits, targets.classes.flatten(), weights.flatten(), positives)
        wanted = self._coder.encode(anchors[targets.positive.nonzero()[:, 1]], targets.boxes)
        reg = self.loss_reg(predictions.deltas[targets.positive], wanted, None, positives)
        return {"loss_cls": cls, "loss_reg": reg}

    def class_weights(self, predictions: AnchorPredictions, targets: AnchorTargets) -> torch.Tensor:
        """Return (N, A) float32, what the class loss of every anchor counts."""
        return targets.class_weights
