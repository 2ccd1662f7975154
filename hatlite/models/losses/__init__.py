"""Losses: what is compared with what, and how it becomes one number."""

from hatlite.models.losses.cross_entropy_loss import CrossEntropyLossV2
from hatlite.models.losses.focal_loss import FocalLoss
from hatlite.models.losses.giou_loss import GIoULoss
from hatlite.models.losses.gnetdet_loss import GNetDetLoss
from hatlite.models.losses.smooth_l1_loss import SmoothL1Loss

__all__ = ["CrossEntropyLossV2", "FocalLoss", "GIoULoss", "GNetDetLoss", "SmoothL1Loss"]
