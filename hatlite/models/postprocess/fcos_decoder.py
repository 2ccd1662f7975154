"""From what FCOS says at every point to a list of objects."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from hatlite.models.postprocess.dense_decoder import DenseDecoder
from hatlite.models.predictions import flatten_outputs
from hatlite.ops.boxes import decode_boxes
from hatlite.registry import OBJECT_REGISTRY
from hatlite.structures import Detections

__all__ = ["FCOSDecoder"]


@OBJECT_REGISTRY.register
class FCOSDecoder(DenseDecoder):
    """Keep what is likely, draw its boxes, drop duplicates.

    Per level the `nms_pre` points with the highest best ``class probability · centerness`` stay; of these every class
    with a probability of at least `score_thr` becomes a box. Boxes are mapped to the original image and clipped to it;
    those without area are dropped. After suppression within each class the `max_per_img` best remain.

    Args:
        num_classes: Number of classes; None takes it from the head.
        strides: Strides of the outputs; None takes them from the head.
        nms_use_centerness: The final score is ``class probability · centerness``, else the class probability.
        nms_sqrt: Take the square root of the final score.
        rescale: Give boxes in pixels of the original image, else of the network input.
        upscale_bbox_pred: Ask for distances times stride here; the head must then not ask for it.
        filter_score_mul_centerness: Compare ``class probability · centerness`` with `score_thr`.
        test_cfg: ``dict(score_thr, nms_pre, nms=dict(name="nms", iou_threshold, max_per_img))``; `max_per_img` may
            stand outside `nms` too.

    Raises:
        BuildError: `test_cfg` has an unknown key, a value outside its range or two different `max_per_img`.
    """

    defaults: ClassVar = {"score_thr": 0.05, "nms_pre": 1000, "iou_threshold": 0.6, "max_per_img": 100}

    def __init__(
        self,
        num_classes: int | None = None,
        strides: Sequence[int] | None = None,
        *,
        nms_use_centerness: bool = True,
        nms_sqrt: bool = True,
        rescale: bool = True,
        upscale_bbox_pred: bool = False,
        filter_score_mul_centerness: bool = False,
        test_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(num_classes, strides, rescale=rescale, test_cfg=test_cfg)
        self.nms_use_centerness, self.nms_sqrt = nms_use_centerness, nms_sqrt
        self.upscale_bbox_pred = upscale_bbox_pred
        self.filter_score_mul_centerness = filter_score_mul_centerness

    @torch.no_grad()
    def forward(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> list[Detections]:
        """Return the objects of every image.

        Args:
            outputs: Of the network, by name; distances in units of the stride.
            batch: ``img`` (N, 3, H, W); with `rescale` also ``matrix`` and ``orig_size``, lists of length N.
        """
        predictions = flatten_outputs(outputs, self.strides)
        probability = predictions.cls_logits.sigmoid()  # [N, P, C]
        centerness = predictions.centerness.sigmoid()  # [N, P]
        likely = probability * centerness[..., None] if self.filter_score_mul_centerness else probability
        best_points = self.best_of_levels(probability.amax(dim=-1) * centerness, predictions.level_sizes)
        candidate = (likely >= self.score_threshold) & best_points[..., None]
        found = []
        for i, mask in enumerate(candidate):
            point, label = mask.nonzero(as_tuple=True)
            distances = predictions.bbox_regression[i, point] * predictions.strides[point, None]
            boxes = self.place(decode_boxes(predictions.points[point], distances), batch, i)
            score = probability[i, point, label] * (centerness[i, point] if self.nms_use_centerness else 1.0)
            found.append(self.suppress(boxes, score.sqrt() if self.nms_sqrt else score, label))
        return found
