"""What decoders of dense heads have in common: their options, the most likely cells, and the last steps to objects."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.agreement import agree, rising_strides
from hatlite.ops.boxes import boxes_to_original, clip_boxes
from hatlite.ops.nms import class_aware_nms
from hatlite.registry import nearest
from hatlite.structures import Detections

__all__ = ["DenseDecoder"]


class DenseDecoder(nn.Module, ABC):
    """Outputs of the network in, objects out.

    Args:
        num_classes: Number of classes; None takes it from the head.
        strides: Strides of the outputs, fine to coarse; None takes them from the head.
        rescale: Give boxes in pixels of the original image, else of the network input.
        test_cfg: ``dict(score_thr, nms_pre, nms=dict(name="nms", iou_threshold, max_per_img))``; `max_per_img` may
            stand outside `nms` too.

    Raises:
        BuildError: The strides do not rise, or `test_cfg` has an unknown key, a value outside its range or two
            different `max_per_img`.
    """

    defaults: ClassVar[dict[str, Any]]
    """``score_thr``, ``nms_pre`` (None keeps all), ``iou_threshold`` and ``max_per_img`` where `test_cfg` is silent."""
    class_agnostic: bool = False
    """Whether boxes of different classes suppress one another."""

    def __init__(
        self,
        num_classes: int | None = None,
        strides: Sequence[int] | None = None,
        *,
        rescale: bool = True,
        test_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._kind = type(self).__name__
        self.num_classes = num_classes
        place = f"{self._kind}: post_process.strides"
        self.strides = None if strides is None else rising_strides(place, strides)
        self.rescale = rescale
        self._read_test_cfg(test_cfg or {})

    def _read_test_cfg(self, cfg: Mapping[str, Any]) -> None:
        nms = cfg.get("nms", {})
        self._check_keys("test_cfg", cfg, ("score_thr", "nms_pre", "nms", "max_per_img"))
        self._check_keys("test_cfg['nms']", nms, ("name", "iou_threshold", "max_per_img"))
        if nms.get("name", "nms") != "nms":
            raise BuildError(f"{self._kind}: test_cfg['nms']['name'] is {nms['name']!r}; 'nms' is the one there is.")
        self.score_threshold = cfg.get("score_thr", self.defaults["score_thr"])
        self.nms_pre = cfg.get("nms_pre", self.defaults["nms_pre"])
        self.iou_threshold = nms.get("iou_threshold", self.defaults["iou_threshold"])
        inside = ("test_cfg['nms']['max_per_img']", nms.get("max_per_img"))
        outside = ("test_cfg['max_per_img']", cfg.get("max_per_img"))
        given = agree("how many objects are kept", inside, outside)
        self.max_per_img = self.defaults["max_per_img"] if given is None else given
        self.check_range("test_cfg['score_thr']", self.score_threshold, 0.0, 1.0)
        self.check_range("test_cfg['nms']['iou_threshold']", self.iou_threshold, 0.0, 1.0)
        self.check_range("test_cfg['max_per_img']", self.max_per_img, 1, float("inf"))
        if self.nms_pre is not None:
            self.check_range("test_cfg['nms_pre']", self.nms_pre, 1, float("inf"))

    def bind(self, num_classes: int, strides: Sequence[int]) -> None:
        """Take the number of classes and the strides from the head, or compare them.

        Raises:
            BuildError: They differ; the message names both places.
        """
        classes = ("head.num_classes", num_classes)
        self.num_classes = agree("the number of classes", classes, ("post_process.num_classes", self.num_classes))
        mine = ("post_process.strides", self.strides)
        self.strides = agree("the strides of the outputs", ("head.out_strides", tuple(strides)), mine)

    @abstractmethod
    def forward(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> list[Detections]:
        """Return the objects of every image.

        Args:
            outputs: Of the network, by name.
            batch: ``img`` (N, 3, H, W); with `rescale` also ``matrix`` and ``orig_size``, lists of length N.
        """

    def best_of_levels(self, ranking: torch.Tensor, level_sizes: tuple[int, ...]) -> torch.Tensor:
        """Return (N, P) bool: among the `nms_pre` places of its level that `ranking` (N, P) puts first."""
        keep = torch.ones_like(ranking, dtype=torch.bool)
        if self.nms_pre is None:
            return keep
        for ranks, kept in zip(ranking.split(level_sizes, dim=1), keep.split(level_sizes, dim=1), strict=True):
            order = torch.sort(ranks, dim=1, descending=True, stable=True).indices
            kept.scatter_(1, order[:, self.nms_pre :], False)
        return keep

    def place(self, boxes: torch.Tensor, batch: Mapping[str, Any], index: int) -> torch.Tensor:
        """Return `boxes` (K, 4) of the network input where image `index` wants them, clipped to the image."""
        if not self.rescale:
            return clip_boxes(boxes, tuple(batch["img"].shape[-2:]))
        height, width = (int(side) for side in batch["orig_size"][index])
        return boxes_to_original(boxes, batch["matrix"][index], (height, width))

    def suppress(self, boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor) -> Detections:
        """Return what is left of the candidates, boxes (K, 4), without empty ones and duplicates.

        Duplicates are of one class, or with `class_agnostic` of any.
        """
        real = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        boxes, scores, labels = boxes[real], scores[real], labels[real]
        groups = torch.zeros_like(labels) if self.class_agnostic else labels
        kept = class_aware_nms(boxes, scores, groups, self.iou_threshold, self.max_per_img)
        return Detections(boxes[kept], scores[kept], labels[kept])

    def check_range(self, key: str, value: float, low: float, high: float) -> None:
        """Refuse a `value` of `key` outside `low`…`high`.

        Raises:
            BuildError: It is.
        """
        if not low <= value <= high:
            expected = f"{low:g} or more" if high == float("inf") else f"{low:g}…{high:g}"
            raise BuildError(f"{self._kind}: {key} is {value}; expected {expected}.")

    def _check_keys(self, place: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in given:
            if key not in known:
                raise BuildError(
                    f"{self._kind}: {place} got an unexpected key {key!r}.{nearest(key, list(known))}"
                    f"\n  It takes {', '.join(known)}.",
                    name=self._kind,
                    candidates=known,
                )
