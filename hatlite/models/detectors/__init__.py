"""Detectors: network, losses and post-processing put together."""

from hatlite.models.detectors.fcos import FCOS
from hatlite.models.detectors.gnetdet import GNetDet
from hatlite.models.detectors.retinanet import RetinaNet
from hatlite.models.detectors.ssd import SSD

__all__ = ["FCOS", "SSD", "GNetDet", "RetinaNet"]
