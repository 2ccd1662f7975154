"""Losses: what is compared with what, and how it becomes one number."""

from hatlite.models.losses.cross_entropy_loss import CrossEntropyLossV2
from hatlite.models.losses.focal_loss import FocalLoss
from hatlite.models.losses.giou_loss import GIoULoss

__all__ = ["CrossEntropyLossV2", "FocalLoss", "GIoULoss"]
