"""A 3×3 convolution whole or in two steps: within channels or groups first, across all of them after."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import nn

from hatlite.errors import BuildError
from hatlite.nn.conv import conv_bn

__all__ = ["CONV_TYPES", "conv_3x3"]

CONV_TYPES = ("plain", "depthwise", "grouped")


def conv_3x3(
    in_channels: int,
    out_channels: int,
    conv_type: str = "plain",
    *,
    stride: int = 1,
    group_width: int = 16,
    norm: bool = True,
    bn_kwargs: Mapping[str, Any] | None = None,
) -> nn.Sequential:
    """Return ``conv`` over 3×3 pixels, or ``spatial → conv``: 3×3 with batch norm and ReLU, then 1×1.

    Args:
        in_channels: Channels of the input (N, C, H, W).
        out_channels: Channels of the output.
        conv_type: ``plain`` is one convolution; the first step of ``depthwise`` takes every channel for itself, that of
            ``grouped`` `group_width` of them together.
        stride: Pixels per step.
        group_width: Channels per group.
        norm: End with a batch norm, else with a bias; there is no activation at the end.
        bn_kwargs: Further arguments of every ``nn.BatchNorm2d``.

    Raises:
        BuildError: `conv_type` is unknown, or the channels are no whole groups.
    """
    if conv_type not in CONV_TYPES:
        raise BuildError(f"conv_type is {conv_type!r}; expected one of {', '.join(CONV_TYPES)}.")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if conv_type == "plain":
        layers["conv"] = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=not norm)
    else:
        width = group_width if conv_type == "grouped" else 1
        if width < 1 or in_channels % width:
            raise BuildError(
                f"conv_type 'grouped' splits {in_channels} channels into groups of {width}, which leaves some over; "
                "choose a group_width that divides the channels."
            )
        step = {"stride": stride, "groups": in_channels // width, "activation": "relu", "bn_kwargs": bn_kwargs}
        layers["spatial"] = conv_bn(in_channels, in_channels, 3, **step)
        layers["conv"] = nn.Conv2d(in_channels, out_channels, 1, bias=not norm)
    if norm:
        layers["bn"] = nn.BatchNorm2d(out_channels, **(bn_kwargs or {}))
    return nn.Sequential(layers)
