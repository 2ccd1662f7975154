"""Convolutions with their batch norm, as the graph capture likes to see them."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import nn

from hatlite.errors import BuildError

__all__ = ["ACTIVATIONS", "conv_bn", "make_activation"]

ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "swish": nn.SiLU}


def make_activation(name: str) -> nn.Module:
    """Return a new activation module; ``relu`` costs nothing in integers, the others become tables.

    Raises:
        BuildError: The name is none of :data:`ACTIVATIONS`.
    """
    if name not in ACTIVATIONS:
        raise BuildError(
            f"activation is {name!r}; expected one of {', '.join(ACTIVATIONS)}.", candidates=list(ACTIVATIONS)
        )
    return ACTIVATIONS[name]()


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: str | None = None,
    bn_kwargs: Mapping[str, Any] | None = None,
) -> nn.Sequential:
    """Return ``conv → bn [→ activation]`` with children of these names.

    The convolution pads by ``kernel_size // 2`` on all sides and has no bias, which the batch norm would cancel.

    Args:
        in_channels: Channels of the input (N, C, H, W).
        out_channels: Channels of the output.
        kernel_size: Side of the square kernel.
        stride: Pixels per step.
        groups: `in_channels` makes it depthwise.
        activation: Name in :data:`ACTIVATIONS`, or None.
        bn_kwargs: Further arguments of ``nn.BatchNorm2d``, such as ``dict(momentum=0.03)``.
    """
    padding = kernel_size // 2
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
    layers = OrderedDict(conv=conv, bn=nn.BatchNorm2d(out_channels, **(bn_kwargs or {})))
    if activation is not None:
        layers["activation"] = make_activation(activation)
    return nn.Sequential(layers)
