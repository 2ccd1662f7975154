"""Assigners: which place of the network's output learns which object."""

from hatlite.models.assigners.dynamic_fcos_target import DynamicFcosTarget
from hatlite.models.assigners.grid_target import GridTarget
from hatlite.models.assigners.hard_negatives import hard_negatives
from hatlite.models.assigners.max_iou_assigner import MaxIoUAssigner

__all__ = ["DynamicFcosTarget", "GridTarget", "MaxIoUAssigner", "hard_negatives"]
