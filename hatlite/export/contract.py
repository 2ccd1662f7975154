"""What turns the outputs of a network with anchors into objects, in plain values.

Two things are made of it: nodes of ONNX (:mod:`hatlite.export.detection`), and the text that TI's import tool reads
beside an ONNX file (:mod:`hatlite.export.prototxt`). Legend: A anchors of all levels.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["AnchorLevel", "DetectionContract", "OctaveAnchors", "SizedAnchors"]


class AnchorLevel(NamedTuple):
    """One level of the pyramid.

    Attributes:
        stride: Pixels per cell.
        class_output: Name of the output with the class logits, (N, anchors of a cell · logits, H, W).
        box_output: Name of the output with the boxes, (N, anchors of a cell · 4, H, W).
        anchors: Number of anchors of the level.
    """

    stride: int
    class_output: str
    box_output: str
    anchors: int


class SizedAnchors(NamedTuple):
    """The default boxes of one level of SSD.

    Attributes:
        min_size: Side of the smaller square, in pixels.
        max_size: The larger square has the side ``sqrt(min_size · max_size)``.
        ratios: Without their reciprocals.
    """

    min_size: float
    max_size: float
    ratios: tuple[float, ...]


class OctaveAnchors(NamedTuple):
    """The anchors of all levels of RetinaNet.

    Attributes:
        ratios: Heights over widths.
        octave_base_scale: Side of the smallest anchor in cells.
        scales_per_octave: Number of scales between a level and the next.
        center_offset: Where in its cell an anchor's centre lies, 0 (top left) … 1.
    """

    ratios: tuple[float, ...]
    octave_base_scale: float
    scales_per_octave: int
    center_offset: float


@dataclass(frozen=True, eq=False)
class DetectionContract:
    """How a detector with anchors reads its network's outputs.

    Attributes:
        kind: What the detector is called, such as ``SSD``.
        size: (height, width) of the image.
        levels: Fine to coarse.
        num_classes: Without background.
        background: Classes exclude one another (softmax) and the last logit is background; else every logit is a
            probability of its own (sigmoid).
        anchors: (A, 4) float32, xyxy in pixels of the image, in the order of the outputs' cells and channels.
        generated: What the anchors were made from, one entry per level of SSD; None if it has no short description.
        means: Of dx, dy, dw, dh.
        stds: Of dx, dy, dw, dh.
        largest_growth: Of a side, as a logarithm.
        score_threshold: Smallest probability of an object.
        nms_pre: Number of anchors per level that are looked at; None for all.
        iou_threshold: Above it a better box of the same class makes another one superfluous.
        max_per_img: Most objects of an image.
    """

    kind: str
    size: tuple[int, int]
    levels: tuple[AnchorLevel, ...]
    num_classes: int
    background: bool
    anchors: NDArray[np.float32]
    generated: tuple[SizedAnchors, ...] | OctaveAnchors | None
    means: tuple[float, ...]
    stds: tuple[float, ...]
    largest_growth: float
    score_threshold: float
    nms_pre: int | None
    iou_threshold: float
    max_per_img: int

    @property
    def logits(self) -> int:
        """Per anchor."""
        return self.num_classes + self.background
