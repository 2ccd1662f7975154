"""Detectors and their parts; importing this package registers all of them."""

from hatlite.models.anchors import AnchorGenerator, DeltaXYWHCoder, SSDAnchorGenerator
from hatlite.models.assigners import DynamicFcosTarget, MaxIoUAssigner
from hatlite.models.backbones import SSDVGG, EfficientNet, MobileNetV2, RegNet, ResNet
from hatlite.models.detectors import FCOS, SSD, RetinaNet
from hatlite.models.heads import FCOSHead, RetinaHead, SSDHead
from hatlite.models.losses import CrossEntropyLossV2, FocalLoss, GIoULoss, SmoothL1Loss
from hatlite.models.necks import FPN, BiFPN, SSDNeck
from hatlite.models.postprocess import FCOSDecoder, RetinaDecoder, SSDDecoder

__all__ = [
    "FCOS",
    "FPN",
    "SSD",
    "SSDVGG",
    "AnchorGenerator",
    "BiFPN",
    "CrossEntropyLossV2",
    "DeltaXYWHCoder",
    "DynamicFcosTarget",
    "EfficientNet",
    "FCOSDecoder",
    "FCOSHead",
    "FocalLoss",
    "GIoULoss",
    "MaxIoUAssigner",
    "MobileNetV2",
    "RegNet",
    "ResNet",
    "RetinaDecoder",
    "RetinaHead",
    "RetinaNet",
    "SSDAnchorGenerator",
    "SSDDecoder",
    "SSDHead",
    "SSDNeck",
    "SmoothL1Loss",
]
