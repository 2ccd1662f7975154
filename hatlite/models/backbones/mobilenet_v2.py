"""MobileNetV2, from torchvision's modules, with ReLU unless ReLU6 is asked for.

Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hatlite.models.backbones.tapped import Residual, TappedBackbone, torchvision_model
from hatlite.nn.conv import make_activation
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["MobileNetV2"]

_TAPS = ("1", "3", "6", "13", "17")  # the last block at each stride
_RENAMES = (("features.18.", "top.conv."), ("features.", "stages."), ("classifier.1.", "top.fc."))


class _InvertedResidual(Residual):
    """Expand 1×1, depthwise 3×3, project 1×1, and a residual."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.plus_input(self.conv(x), x)


@OBJECT_REGISTRY.register(alias="mobilenetv2")
class MobileNetV2(TappedBackbone):
    """Five features of strides 2, 4, 8, 16, 32 (16, 24, 32, 96, 320 channels), or class logits with `include_top`.

    Args:
        num_classes: Width of the classifier; used with `include_top` only.
        include_top: Add the 1×1 convolution, pooling and classifier; :meth:`forward` then returns logits.
        activation: ``relu``, which integers have for nothing, or ``relu6`` as published, which becomes a table.
        width_mult: Factor of all channels, each rounded to a multiple of 8.
        bn_kwargs: Further arguments of every ``nn.BatchNorm2d``.

    Raises:
        BuildError: `activation` is unknown.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        include_top: bool = False,
        *,
        activation: str = "relu",
        width_mult: float = 1.0,
        bn_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        replace = {
            "InvertedResidual": lambda block: _InvertedResidual(block) if block.use_res_connect else block,
            "ReLU6": lambda relu6: make_activation(activation),
        }
        options = {"num_classes": num_classes, "width_mult": width_mult}
        whole = torchvision_model("mobilenet_v2", replace, bn_kwargs=bn_kwargs, **options)
        *stages, conv = whole.features.children()
        pool = {"conv": conv, "pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
        top = nn.Sequential(OrderedDict(pool | {"dropout": whole.classifier[0], "fc": whole.classifier[1]}))
        named = {str(number): stage for number, stage in enumerate(stages)}
        super().__init__("mobilenet_v2", named, _TAPS, top if include_top else None, _RENAMES)
