"""Detectors and their parts; importing this package registers all of them."""

from hatlite.models.anchors import AnchorGenerator, DeltaXYWHCoder, SSDAnchorGenerator
from hatlite.models.assigners import DynamicFcosTarget, GridTarget, MaxIoUAssigner
from hatlite.models.backbones import SSDVGG, EfficientNet, GNet, MobileNetV2, RegNet, ResNet
from hatlite.models.detectors import FCOS, SSD, GNetDet, RetinaNet
from hatlite.models.heads import FCOSHead, GNetHead, RetinaHead, SSDHead
from hatlite.models.losses import CrossEntropyLossV2, FocalLoss, GIoULoss, GNetDetLoss, SmoothL1Loss
from hatlite.models.necks import FPN, BiFPN, SSDNeck
from hatlite.models.postprocess import FCOSDecoder, GridDecoder, RetinaDecoder, SSDDecoder

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
    "GNet",
    "GNetDet",
    "GNetDetLoss",
    "GNetHead",
    "GridDecoder",
    "GridTarget",
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
