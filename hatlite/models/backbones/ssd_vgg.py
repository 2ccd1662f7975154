"""VGG16 as SSD takes it: torchvision's convolutions, then two that were fully connected layers.

Simonyan & Zisserman, Very Deep Convolutional Networks, ICLR 2015; Liu et al., SSD, ECCV 2016, section 3.
"""

import importlib
from collections.abc import Mapping

import torch
from torch import nn

from hatlite.models.backbones.tapped import TappedBackbone
from hatlite.nn.init import init_he
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["SSDVGG"]

_TAPS = ("22", "relu7")  # conv4_3 and fc7, each behind its ReLU
_RENAMES = (("features.", "stages."), ("classifier.", "top."))
_LAST_POOL = "30"
_CHANNELS = {8: 512, 16: 1024}


@OBJECT_REGISTRY.register
class SSDVGG(TappedBackbone):
    """Two features, of strides 8 (conv4_3, 512 channels) and 16 (fc7, 1024 channels).

    The last pool keeps the size; fc6 is a 3×3 convolution with dilation 6, fc7 a 1×1.
    """

    def __init__(self) -> None:
        vgg = importlib.import_module("torchvision.models.vgg")  # as late as torchvision's other classifiers
        stages = dict(vgg.make_layers(vgg.cfgs["D"]).named_children())
        stages[_LAST_POOL] = nn.MaxPool2d(3, 1, 1)
        fc6 = nn.Conv2d(512, 1024, 3, padding=6, dilation=6)
        stages |= {"fc6": fc6, "relu6": nn.ReLU(), "fc7": nn.Conv2d(1024, 1024, 1), "relu7": nn.ReLU()}
        super().__init__("vgg16", stages, _TAPS, renames=_RENAMES)
        init_he(self)

    @property
    def stride2channels(self) -> dict[int, int]:
        """Channels of the feature at every stride."""
        return dict(_CHANNELS)

    def load_torchvision(self, weights: Mapping[str, torch.Tensor], path: str = "weights") -> list[str]:
        """Take over the weights of torchvision's ``vgg16``.

        fc6 and fc7 take every fourth output of the fully connected layers; of the 7×7 window of the first every third
        row and column, which the dilation then sets apart again.

        Args:
            weights: Its state dict.
            path: Where it is from, for messages.

        Returns:
            The names that this network has no place for: of the fully connected layers.

        Raises:
            CheckpointError: The weights are of another network.
        """
        return super().load_torchvision(_thinned(weights), path)


def _thinned(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `weights` with the first two fully connected layers as what fc6 and fc7 take of them."""
    named = dict(weights)
    window, wide = named.get("classifier.0.weight"), named.get("classifier.3.weight")
    if window is not None and tuple(window.shape) == (4096, 512 * 7 * 7):
        named["features.fc6.weight"] = window.reshape(4096, 512, 7, 7)[::4, :, ::3, ::3]
        named["features.fc6.bias"] = named["classifier.0.bias"][::4]
    if wide is not None and tuple(wide.shape) == (4096, 4096):
        named["features.fc7.weight"] = wide[::4, ::4, None, None]
        named["features.fc7.bias"] = named["classifier.3.bias"][::4]
    return named
