"""FPN: what coarse levels know comes down to the fine ones.

Lin et al., Feature Pyramid Networks for Object Detection, CVPR 2017.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.necks.pyramid import PyramidNeck
from hatlite.nn.conv import conv_bn
from hatlite.nn.functional import Add, Interpolate
from hatlite.nn.init import init_he
from hatlite.nn.separable import conv_3x3
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["FPN"]

EXTRA_SOURCES = ("on_output", "on_input")


@OBJECT_REGISTRY.register
class FPN(PyramidNeck):
    """1×1 convolutions to one width, sums from coarse to fine, a 3×3 convolution per level; no activation at the end.

    Levels beyond the backbone are made by 3×3 convolutions of stride 2, each from the one before.

    Args:
        in_strides: Strides of the features that arrive, fine to coarse.
        out_strides: Strides of the features that leave: those of `in_strides` from `start_level` to `end_level`, then
            doublings.
        out_channels: Channels of every output.
        num_outs: Number of outputs; the length of `out_strides`.
        start_level: Index of the first input that is used.
        end_level: Index of the last input that is used; −1 is the last.
        conv_type: Of the 3×3 convolutions: ``plain``, ``depthwise`` or ``grouped``, the last two in two steps with a
            ReLU between (:func:`~hatlite.nn.separable.conv_3x3`).
        group_width: Channels per group of ``grouped``.
        norm: Batch norm behind the convolutions, else a bias.
        upsample: How a coarse level doubles its size, ``bilinear`` or ``nearest``.
        add_extra_convs: What the first level beyond the backbone is made from: ``on_output``, the coarsest output, or
            ``on_input``, the coarsest feature that arrives.
        stride2channels: Channels of the inputs. None takes them from the backbone (:meth:`bind`).
        bn_kwargs: Further arguments of every ``nn.BatchNorm2d``.

    Raises:
        BuildError: The strides do not follow from one another, or an option is unknown.
    """

    def __init__(
        self,
        in_strides: Sequence[int] = (2, 4, 8, 16, 32),
        out_strides: Sequence[int] = (8, 16, 32, 64, 128, 256),
        out_channels: int = 256,
        *,
        num_outs: int | None = None,
        start_level: int = 2,
        end_level: int = -1,
        conv_type: str = "plain",
        group_width: int = 16,
        norm: bool = True,
        upsample: str = "bilinear",
        add_extra_convs: str = "on_output",
        stride2channels: Mapping[int, int] | None = None,
        bn_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if add_extra_convs not in EXTRA_SOURCES:
            known = " or ".join(EXTRA_SOURCES)
            raise BuildError(f"FPN: add_extra_convs is {add_extra_convs!r}; expected {known}.")
        self.add_extra_convs, self.upsample, self.norm, self.bn_kwargs = add_extra_convs, upsample, norm, bn_kwargs
        self._conv = {"conv_type": conv_type, "group_width": group_width, "norm": norm, "bn_kwargs": bn_kwargs}
        strides = {"in_strides": in_strides, "out_strides": out_strides, "num_outs": num_outs}
        levels = {"start_level": start_level, "end_level": end_level}
        super().__init__(out_channels, **strides, **levels, stride2channels=stride2channels)

    @property
    def size_divisor(self) -> int:
        """A level from the backbone is twice as large as the next; those beyond are resized onto none."""
        return max(self.used_strides)

    def make_layers(self, in_channels: Mapping[int, int]) -> None:
        """Build the convolutions for features of these channels."""
        width = self.out_channels
        used = [in_channels[stride] for stride in self.used_strides]
        first = width if self.add_extra_convs == "on_output" else used[-1]
        extra = [first, *[width] * (self.num_extra - 1)][: self.num_extra]
        self.laterals = nn.ModuleList(self._lateral(channels) for channels in used)
        self.up = Interpolate(2, self.upsample)
        self.adds = nn.ModuleList(Add() for _ in used[1:])
        self.outputs = nn.ModuleList(conv_3x3(width, width, **self._conv) for _ in used)
        self.extras = nn.ModuleList(conv_3x3(channels, width, stride=2, **self._conv) for channels in extra)
        init_he(self)

    def _lateral(self, channels: int) -> nn.Module:
        if self.norm:
            return conv_bn(channels, self.out_channels, bn_kwargs=self.bn_kwargs)
        return nn.Conv2d(channels, self.out_channels, 1)

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return one feature (N, out_channels, H / stride, W / stride) per output stride, fine to coarse."""
        used = self.used(features)
        levels = [lateral(x) for lateral, x in zip(self.laterals, used, strict=True)]
        for i in reversed(range(len(levels) - 1)):
            levels[i] = self.adds[i](levels[i], self.up(levels[i + 1]))
        outputs = [conv(x) for conv, x in zip(self.outputs, levels, strict=True)]
        x = outputs[-1] if self.add_extra_convs == "on_output" else used[-1]
        for conv in self.extras:
            x = conv(x)
            outputs.append(x)
        return outputs
