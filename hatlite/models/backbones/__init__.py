"""Backbones: image in, list of features out."""

from hatlite.models.backbones.efficientnet import EfficientNet

__all__ = ["EfficientNet"]
