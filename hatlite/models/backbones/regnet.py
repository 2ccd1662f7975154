"""RegNetX, from torchvision's modules. Radosavovic et al., Designing Network Design Spaces, CVPR 2020."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.backbones.tapped import Residual, TappedBackbone, torchvision_model
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["RegNet"]

_MODEL_TYPES = ("x_400mf", "x_800mf", "x_1_6gf", "x_3_2gf", "x_8gf", "x_16gf", "x_32gf")
_TAPS = ("stem", "block1", "block2", "block3", "block4")
_RENAMES = (("trunk_output.", "stages."), ("fc.", "top.fc."))


class _ResBottleneckBlock(Residual):
    """1×1, grouped 3×3, 1×1 and a residual."""

    shortcut = "proj"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.plus_input(self.f(x), x))


@OBJECT_REGISTRY.register(alias="regnetx_800mf")
class RegNet(TappedBackbone):
    """Five features of strides 2 (the stem's), 4, 8, 16, 32, or class logits with `include_top`.

    Args:
        model_type: ``x_400mf``, ``x_800mf``, ``x_1_6gf``, ``x_3_2gf``, ``x_8gf``, ``x_16gf`` or ``x_32gf``.
        num_classes: Width of the classifier; used with `include_top` only.
        include_top: Add pooling and the classifier; :meth:`forward` then returns logits.
        bn_kwargs: Further arguments of every ``nn.BatchNorm2d``.

    Raises:
        BuildError: `model_type` is unknown.
    """

    def __init__(
        self,
        model_type: str = "x_800mf",
        num_classes: int = 1000,
        include_top: bool = False,
        *,
        bn_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if model_type not in _MODEL_TYPES:
            raise BuildError(f"RegNet: model_type is {model_type!r}; expected one of {', '.join(_MODEL_TYPES)}.")
        name, blocks = f"regnet_{model_type}", {"ResBottleneckBlock": _ResBottleneckBlock}
        whole = torchvision_model(name, blocks, bn_kwargs=bn_kwargs, num_classes=num_classes)
        stages = {"stem": whole.stem, **dict(whole.trunk_output.named_children())}
        top = nn.Sequential(OrderedDict(avgpool=whole.avgpool, flatten=nn.Flatten(), fc=whole.fc))
        super().__init__(name, stages, _TAPS, top if include_top else None, _RENAMES)
