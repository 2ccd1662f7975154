"""Backbones: image in, list of features out."""

from hatlite.models.backbones.efficientnet import EfficientNet
from hatlite.models.backbones.gnet import GNet
from hatlite.models.backbones.mobilenet_v2 import MobileNetV2
from hatlite.models.backbones.regnet import RegNet
from hatlite.models.backbones.resnet import ResNet
from hatlite.models.backbones.ssd_vgg import SSDVGG

__all__ = ["SSDVGG", "EfficientNet", "GNet", "MobileNetV2", "RegNet", "ResNet"]
