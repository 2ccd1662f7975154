"""Detectors and their parts; importing this package registers all of them."""

from hatlite.models.assigners import DynamicFcosTarget
from hatlite.models.backbones import EfficientNet, MobileNetV2, RegNet, ResNet
from hatlite.models.detectors import FCOS
from hatlite.models.heads import FCOSHead
from hatlite.models.losses import CrossEntropyLossV2, FocalLoss, GIoULoss
from hatlite.models.necks import BiFPN
from hatlite.models.postprocess import FCOSDecoder

__all__ = [
    "FCOS",
    "BiFPN",
    "CrossEntropyLossV2",
    "DynamicFcosTarget",
    "EfficientNet",
    "FCOSDecoder",
    "FCOSHead",
    "FocalLoss",
    "GIoULoss",
    "MobileNetV2",
    "RegNet",
    "ResNet",
]
