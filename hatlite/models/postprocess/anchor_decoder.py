"""From what a head says about every anchor to a list of objects."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from hatlite.errors import BuildError
from hatlite.models.anchors.cell_anchors import CellAnchors
from hatlite.models.anchors.delta_xywh_coder import DeltaXYWHCoder
from hatlite.models.postprocess.dense_decoder import DenseDecoder
from hatlite.models.predictions import flatten_anchor_outputs
from hatlite.registry import OBJECT_REGISTRY
from hatlite.structures import Detections

__all__ = ["AnchorDecoder", "RetinaDecoder", "SSDDecoder"]


class AnchorDecoder(DenseDecoder):
    """Keep what is likely, correct its anchors, drop duplicates.

    Per level the `nms_pre` anchors with the highest best probability stay; of these every class with a probability of
    at least `score_thr` becomes a box. Boxes are mapped to the original image and clipped to it; those without area are
    dropped. After suppression within each class the `max_per_img` best remain.

    Args:
        num_classes: Number of classes without background; None takes it from the head.
        strides: Strides of the outputs; None takes them from the head.
        rescale: Give boxes in pixels of the original image, else of the network input.
        test_cfg: ``dict(score_thr, nms_pre, nms=dict(name="nms", iou_threshold, max_per_img))``; `max_per_img` may
            stand outside `nms` too, and `nms_pre` None keeps all.

    Raises:
        BuildError: `test_cfg` has an unknown key, a value outside its range or two different `max_per_img`.
    """

    background: bool
    """Whether logits have background as a class of its own, the last."""

    def bind_anchors(self, anchor_generator: CellAnchors, box_coder: DeltaXYWHCoder, background: bool) -> None:
        """Take over how anchors and boxes are made.

        Args:
            anchor_generator: Of the head.
            box_coder: Of the detector.
            background: Whether the head has a background class.

        Raises:
            BuildError: This decoder reads classes in another way.
        """
        if background != self.background:
            other = "SSDDecoder" if background else "RetinaDecoder"
            has = "has a background class" if background else "has no background class"
            raise BuildError(f"{self._kind}: the head {has}, which post_process reads otherwise; take {other}.")
        self.anchor_generator, self.box_coder = anchor_generator, box_coder

    @abstractmethod
    def probabilities(self, cls_logits: torch.Tensor) -> torch.Tensor:
        """Return (N, A, classes without background) in 0…1 from the logits (N, A, C)."""

    @torch.no_grad()
    def forward(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> list[Detections]:
        """Return the objects of every image.

        Args:
            outputs: Of the network, by name.
            batch: ``img`` (N, 3, H, W); with `rescale` also ``matrix`` and ``orig_size``, lists of length N.
        """
        predictions = flatten_anchor_outputs(outputs, self.strides, self.num_classes + self.background)
        anchors = self.anchor_generator.anchors(predictions.sizes, predictions.deltas.device)
        probability = self.probabilities(predictions.cls_logits)  # [N, A, C]
        best = self.best_of_levels(probability.amax(dim=-1), predictions.level_sizes)
        candidate = (probability >= self.score_threshold) & best[..., None]
        found = []
        for i, mask in enumerate(candidate):
            anchor, label = mask.nonzero(as_tuple=True)
            boxes = self.box_coder.decode(anchors[anchor], predictions.deltas[i, anchor])
            found.append(self.suppress(self.place(boxes, batch, i), probability[i, anchor, label], label))
        return found


@OBJECT_REGISTRY.register
class SSDDecoder(AnchorDecoder):
    """Classes exclude one another (softmax) and background, the last, is left out.

    Args, steps and errors are those of :class:`AnchorDecoder`; without `test_cfg` the published values hold:
    `score_thr` 0.02, all anchors, `iou_threshold` 0.45, `max_per_img` 200.
    """

    background = True
    defaults: ClassVar = {"score_thr": 0.02, "nms_pre": None, "iou_threshold": 0.45, "max_per_img": 200}

    def probabilities(self, cls_logits: torch.Tensor) -> torch.Tensor:
        """Return the softmax without its last column."""
        return cls_logits.softmax(dim=-1)[..., :-1]


@OBJECT_REGISTRY.register
class RetinaDecoder(AnchorDecoder):
    """Every class stands for itself (sigmoid).

    Args, steps and errors are those of :class:`AnchorDecoder`; without `test_cfg` the published values hold:
    `score_thr` 0.05, `nms_pre` 1000, `iou_threshold` 0.5, `max_per_img` 100.
    """

    background = False
    defaults: ClassVar = {"score_thr": 0.05, "nms_pre": 1000, "iou_threshold": 0.5, "max_per_img": 100}

    def probabilities(self, cls_logits: torch.Tensor) -> torch.Tensor:
        """Return the sigmoid of every logit."""
        return cls_logits.sigmoid()
