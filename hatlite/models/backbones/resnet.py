"""ResNet, from torchvision's modules. He et al., Deep Residual Learning for Image Recognition, CVPR 2016."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.backbones.tapped import Residual, TappedBackbone, torchvision_model
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["ResNet"]

_DEPTHS = (18, 34, 50, 101, 152)
_TAPS = ("relu", "layer1", "layer2", "layer3", "layer4")


class _BasicBlock(Residual):
    """Two 3×3 convolutions and a residual."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(self.plus_input(y, x))


class _Bottleneck(Residual):
    """1×1, 3×3, which takes the stride, 1×1 and a residual."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return self.relu(self.plus_input(self.bn3(self.conv3(y)), x))


@OBJECT_REGISTRY.register(alias="resnet50")
class ResNet(TappedBackbone):
    """Five features of strides 2 (the stem's), 4, 8, 16, 32, or class logits with `include_top`.

    Args:
        depth: 18, 34, 50, 101 or 152.
        num_classes: Width of the classifier; used with `include_top` only.
        include_top: Add pooling and the classifier; :meth:`forward` then returns logits.
        bn_kwargs: Further arguments of every ``nn.BatchNorm2d``.

    Raises:
        BuildError: `depth` is another number.
    """

    def __init__(
        self,
        depth: int = 50,
        num_classes: int = 1000,
        include_top: bool = False,
        *,
        bn_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if depth not in _DEPTHS:
            raise BuildError(f"ResNet: depth is {depth}; expected one of {', '.join(map(str, _DEPTHS))}.")
        name, blocks = f"resnet{depth}", {"BasicBlock": _BasicBlock, "Bottleneck": _Bottleneck}
        stages = dict(torchvision_model(name, blocks, bn_kwargs=bn_kwargs, num_classes=num_classes).named_children())
        pool, classifier = stages.pop("avgpool"), stages.pop("fc")
        top = nn.Sequential(OrderedDict(avgpool=pool, flatten=nn.Flatten(), fc=classifier))
        super().__init__(name, stages, _TAPS, top if include_top else None, [("fc.", "top.fc.")])
