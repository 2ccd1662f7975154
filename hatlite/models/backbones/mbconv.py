"""The inverted residual block of MobileNetV2 and EfficientNet."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hatlite.nn.conv import conv_bn, make_activation
from hatlite.nn.drop_path import DropPath
from hatlite.nn.functional import Add, Mul

__all__ = ["MBConv", "SqueezeExcite"]


class SqueezeExcite(nn.Module):
    """Weigh every channel by a gate in 0…1 computed from its mean. Hu et al., CVPR 2018.

    Args:
        channels: Channels of the input (N, C, H, W).
        squeezed: Channels in the middle.
        activation: Name of the activation in the middle.
    """

    def __init__(self, channels: int, squeezed: int, activation: str = "relu") -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.activation = make_activation(activation)
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Sigmoid()
        self.mul = Mul()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mul(x, self.gate(self.expand(self.activation(self.reduce(self.pool(x))))))


class MBConv(nn.Module):
    """Expand 1×1, depthwise k×k, project 1×1, and a residual where shapes allow it.

    Args:
        in_channels: Channels of the input (N, C, H, W).
        out_channels: Channels of the output.
        kernel_size: Side of the depthwise kernel.
        stride: Of the depthwise convolution; 2 halves the size.
        expand_ratio: Channels in the middle over `in_channels`; 1 leaves the expansion out.
        activation: After expansion and depthwise convolution.
        use_se_block: Squeeze to a quarter of `in_channels` and excite, after the depthwise convolution.
        drop_path_rate: Stochastic depth of the branch.
        bn_kwargs: Further arguments of every ``nn.BatchNorm2d``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        expand_ratio: int = 6,
        activation: str = "relu",
        use_se_block: bool = False,
        drop_path_rate: float = 0.0,
        bn_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        middle = in_channels * expand_ratio
        active = {"activation": activation, "bn_kwargs": bn_kwargs}
        self.expand = conv_bn(in_channels, middle, **active) if expand_ratio != 1 else nn.Identity()
        self.depthwise = conv_bn(middle, middle, kernel_size, stride=stride, groups=middle, **active)
        squeezed = max(1, in_channels // 4)
        self.se = SqueezeExcite(middle, squeezed, activation) if use_se_block else nn.Identity()
        self.project = conv_bn(middle, out_channels, bn_kwargs=bn_kwargs)
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()
        self.add = Add() if stride == 1 and in_channels == out_channels else None
        if self.add is not None:  # residuals start as the identity: Goyal et al. 2017, arXiv:1706.02677, section 5.1
            nn.init.zeros_(self.project.bn.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.project(self.se(self.depthwise(self.expand(x))))
        return y if self.add is None else self.add(x, self.drop_path(y))
