"""Anchors: boxes that a head corrects, and how a correction is written."""

from hatlite.models.anchors.anchor_generator import AnchorGenerator
from hatlite.models.anchors.cell_anchors import CellAnchors
from hatlite.models.anchors.delta_xywh_coder import LARGEST_GROWTH, DeltaXYWHCoder
from hatlite.models.anchors.ssd_anchor_generator import SSDAnchorGenerator

__all__ = ["LARGEST_GROWTH", "AnchorGenerator", "CellAnchors", "DeltaXYWHCoder", "SSDAnchorGenerator"]
