"""From what FCOS says at every point to a list of objects."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.agreement import agree
from hatlite.models.predictions import flatten_outputs
from hatlite.ops.boxes import boxes_to_original, clip_boxes, decode_boxes
from hatlite.ops.nms import class_aware_nms
from hatlite.registry import OBJECT_REGISTRY, nearest
from hatlite.structures import Detections

__all__ = ["FCOSDecoder"]


@OBJECT_REGISTRY.register
class FCOSDecoder(nn.Module):
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
        super().__init__()
        self.num_classes = num_classes
        self.strides = None if strides is None else tuple(strides)
        self.nms_use_centerness, self.nms_sqrt = nms_use_centerness, nms_sqrt
        self.rescale, self.upscale_bbox_pred = rescale, upscale_bbox_pred
        self.filter_score_mul_centerness = filter_score_mul_centerness
        self._read_test_cfg(test_cfg or {})

    def _read_test_cfg(self, cfg: Mapping[str, Any]) -> None:
        nms = cfg.get("nms", {})
        _check_keys("test_cfg", cfg, ("score_thr", "nms_pre", "nms", "max_per_img"))
        _check_keys("test_cfg['nms']", nms, ("name", "iou_threshold", "max_per_img"))
        if nms.get("name", "nms") != "nms":
            raise BuildError(f"FCOSDecoder: test_cfg['nms']['name'] is {nms['name']!r}; 'nms' is the one there is.")
        self.score_threshold = cfg.get("score_thr", 0.05)
        self.nms_pre = cfg.get("nms_pre", 1000)
        self.iou_threshold = nms.get("iou_threshold", 0.6)
        inside = ("test_cfg['nms']['max_per_img']", nms.get("max_per_img"))
        outside = ("test_cfg['max_per_img']", cfg.get("max_per_img"))
        given = agree("how many objects are kept", inside, outside)
        self.max_per_img = 100 if given is None else given
        _check_range("['score_thr']", self.score_threshold, 0.0, 1.0)
        _check_range("['nms']['iou_threshold']", self.iou_threshold, 0.0, 1.0)
        _check_range("['nms_pre']", self.nms_pre, 1, float("inf"))
        _check_range("['max_per_img']", self.max_per_img, 1, float("inf"))

    def bind(self, num_classes: int, strides: Sequence[int]) -> None:
        """Take the number of classes and the strides from the head, or compare them.

        Raises:
            BuildError: They differ; the message names both places.
        """
        classes = ("head.num_classes", num_classes)
        self.num_classes = agree("the number of classes", classes, ("post_process.num_classes", self.num_classes))
        mine = ("post_process.strides", self.strides)
        self.strides = agree("the strides of the outputs", ("head.out_strides", tuple(strides)), mine)

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
        best_points = self._best_points(probability.amax(dim=-1) * centerness, predictions.level_sizes)
        candidate = (likely >= self.score_threshold) & best_points[..., None]
        found = []
        for i, mask in enumerate(candidate):
            point, label = mask.nonzero(as_tuple=True)
            distances = predictions.bbox_regression[i, point] * predictions.strides[point, None]
            boxes = self._place(decode_boxes(predictions.points[point], distances), batch, i)
            score = probability[i, point, label] * (centerness[i, point] if self.nms_use_centerness else 1.0)
            found.append(self._suppress(boxes, score.sqrt() if self.nms_sqrt else score, label))
        return found

    def _best_points(self, ranking: torch.Tensor, level_sizes: tuple[int, ...]) -> torch.Tensor:
        """Return (N, P) bool: among the `nms_pre` points of its level that `ranking` (N, P) puts first."""
        keep = torch.ones_like(ranking, dtype=torch.bool)
        for ranks, kept in zip(ranking.split(level_sizes, dim=1), keep.split(level_sizes, dim=1), strict=True):
            order = torch.sort(ranks, dim=1, descending=True, stable=True).indices
            kept.scatter_(1, order[:, self.nms_pre :], False)
        return keep

    def _place(self, boxes: torch.Tensor, batch: Mapping[str, Any], index: int) -> torch.Tensor:
        if not self.rescale:
            return clip_boxes(boxes, tuple(batch["img"].shape[-2:]))
        height, width = (int(side) for side in batch["orig_size"][index])
        return boxes_to_original(boxes, batch["matrix"][index], (height, width))

    def _suppress(self, boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor) -> Detections:
        real = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        boxes, scores, labels = boxes[real], scores[real], labels[real]
        kept = class_aware_nms(boxes, scores, labels, self.iou_threshold, self.max_per_img)
        return Detections(boxes[kept], scores[kept], labels[kept])


def _check_range(key: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        expected = f"{low:g} or more" if high == float("inf") else f"{low:g}…{high:g}"
        raise BuildError(f"FCOSDecoder: test_cfg{key} is {value}; expected {expected}.")


def _check_keys(place: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in given:
        if key not in known:
            raise BuildError(
                f"FCOSDecoder: {place} got an unexpected key {key!r}.{nearest(key, list(known))}"
                f"\n  It takes {', '.join(known)}.",
                name="FCOSDecoder",
                candidates=known,
            )
