"""From what the cells of a grid say to a list of objects."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from hatlite.models.postprocess.dense_decoder import DenseDecoder
from hatlite.models.predictions import GridPredictions, split_grid
from hatlite.registry import OBJECT_REGISTRY
from hatlite.structures import Detections

__all__ = ["GridDecoder"]


@OBJECT_REGISTRY.register
class GridDecoder(DenseDecoder):
    """Keep confident slots, draw their boxes, drop duplicates; where none is confident nothing was found.

    A slot is a candidate if its confidence is above `conf_thresh`; it is an object of its most likely class if
    ``confidence · class score`` is above `prob_thresh`. Boxes are mapped to the original image and clipped to it; those
    without area are dropped. A box falls when a better one covers it with IoU above `nms_thresh`, of whatever class.
    Scores above 1, which the network does not exclude, are ranked as they are and reported as 1.

    Args:
        num_classes: Number of classes; None takes it from the head.
        strides: The one stride of the output; None takes it from the head.
        conf_thresh: Confidence, 0…1.
        prob_thresh: Confidence times class score, 0…1.
        nms_thresh: IoU, 0…1.
        class_agnostic: Boxes of different classes suppress one another.
        multi_label: Every class above `prob_thresh` makes an object of a slot, as a metric wants it, with low
            thresholds and without `class_agnostic`.
        max_per_img: At most so many objects, the best.
        rescale: Give boxes in pixels of the original image, else of the network input.

    Raises:
        BuildError: A number is outside its range.
    """

    defaults: ClassVar = {"score_thr": 0.4, "nms_pre": None, "iou_threshold": 0.4, "max_per_img": 100}

    def __init__(
        self,
        num_classes: int | None = None,
        strides: Sequence[int] | None = None,
        *,
        conf_thresh: float = 0.48,
        prob_thresh: float = 0.4,
        nms_thresh: float = 0.4,
        class_agnostic: bool = True,
        multi_label: bool = False,
        max_per_img: int = 100,
        rescale: bool = True,
    ) -> None:
        super().__init__(num_classes, strides, rescale=rescale)
        self.conf_thresh, self.score_threshold, self.iou_threshold = conf_thresh, prob_thresh, nms_thresh
        self.class_agnostic, self.multi_label, self.max_per_img = class_agnostic, multi_label, max_per_img
        self.check_range("conf_thresh", conf_thresh, 0.0, 1.0)
        self.check_range("prob_thresh", prob_thresh, 0.0, 1.0)
        self.check_range("nms_thresh", nms_thresh, 0.0, 1.0)
        self.check_range("max_per_img", max_per_img, 1, float("inf"))

    @torch.no_grad()
    def forward(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> list[Detections]:
        """Return the objects of every image.

        Args:
            outputs: Of the network, by name.
            batch: ``img`` (N, 3, H, W); with `rescale` also ``matrix`` and ``orig_size``, lists of length N.
        """
        assert self.strides is not None  # bound by the detector
        predictions = split_grid(outputs[f"predictions_s{self.strides[0]}"])
        boxes = _boxes(predictions, *batch["img"].shape[-2:])
        scores = predictions.confidence[..., None] * predictions.classes[..., None, :]  # [N, G, G, 2, C]
        candidate = (predictions.confidence > self.conf_thresh)[..., None] & (scores > self.score_threshold)
        if not self.multi_label:
            best = scores.argmax(dim=-1, keepdim=True)
            candidate &= torch.zeros_like(candidate).scatter_(-1, best, True)
        found = []
        for i, mask in enumerate(candidate):
            *slot, label = mask.nonzero(as_tuple=True)
            kept = self.suppress(self.place(boxes[i][tuple(slot)], batch, i), scores[i][mask], label)
            found.append(Detections(kept.boxes, kept.scores.clamp(max=1.0), kept.labels))
        return found


def _boxes(predictions: GridPredictions, height: int, width: int) -> torch.Tensor:
    """Return (N, G, G, 2, 4) xyxy in pixels of the network input, which is `height` × `width`."""
    grid = predictions.offsets.shape[1]
    index = torch.arange(grid, device=predictions.offsets.device)
    rows, columns = torch.meshgrid(index, index, indexing="ij")
    cells = torch.stack([columns, rows], dim=-1)[:, :, None]  # [G, G, 1, 2]
    size = predictions.offsets.new_tensor([width, height])
    centre = (cells + predictions.offsets) / grid * size
    sides = predictions.sizes * size
    return torch.cat([centre - sides / 2, centre + sides / 2], dim=-1)
