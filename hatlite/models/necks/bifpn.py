"""BiFPN: features of all strides exchange what they know, from coarse to fine and back.

Tan, Pang & Le, EfficientDet: Scalable and Efficient Object Detection, CVPR 2020, with a plain sum in place of the
learnt weights, which integers would have to divide by.
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
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["BiFPN"]


class _Node(nn.Module):
    """Sum of its inputs → ReLU → depthwise 3×3 → 1×1 → batch norm; an input of other width has its own 1×1 before."""

    def __init__(self, in_channels: Sequence[int], channels: int, bn_kwargs: Mapping[str, Any] | None) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            nn.Identity() if width == channels else conv_bn(width, channels, bn_kwargs=bn_kwargs)
            for width in in_channels
        )
        self.adds = nn.ModuleList(Add() for _ in in_channels[1:])
        self.relu = nn.ReLU()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = conv_bn(channels, channels, bn_kwargs=bn_kwargs)

    def forward(self, inputs: list[torch.Tensor], resize: nn.Module) -> torch.Tensor:
        """Add `inputs`, of which the last comes from a neighbouring level and is resized after its own 1×1."""
        aligned = [edge(x) for edge, x in zip(self.edges, inputs, strict=True)]
        aligned[-1] = resize(aligned[-1])
        total = aligned[0]
        for add, x in zip(self.adds, aligned[1:], strict=True):
            total = add(total, x)
        return self.pointwise(self.depthwise(self.relu(total)))


class _Layer(nn.Module):
    """One exchange between n levels: n − 1 nodes from coarse to fine, then n − 1 from fine to coarse.

    With five levels 0…4, fine to coarse, and new nodes from 5 on, these are top-down (3, 4↑) (2, 5↑) (1, 6↑) (0, 7↑)
    and bottom-up (1, 7, 8↓) (2, 6, 9↓) (3, 5, 10↓) (4, 11↓).
    """

    def __init__(self, in_channels: Sequence[int], channels: int, bn_kwargs: Mapping[str, Any] | None) -> None:
        super().__init__()
        *finer, coarsest = in_channels
        above = [channels] * (len(finer) - 1) + [coarsest]
        self.up = Interpolate(2, "bilinear")
        self.down = nn.MaxPool2d(2, 2)
        self.top_down = nn.ModuleList(_Node(pair, channels, bn_kwargs) for pair in zip(finer, above, strict=True))
        middle = [_Node((width, channels, channels), channels, bn_kwargs) for width in finer[1:]]
        self.bottom_up = nn.ModuleList([*middle, _Node((coarsest, channels), channels, bn_kwargs)])

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        coarse_to_fine = [features[-1]]
        for node, x in zip(reversed(self.top_down), reversed(features[:-1]), strict=True):
            coarse_to_fine.append(node([x, coarse_to_fine[-1]], self.up))
        *middle, finest = coarse_to_fine[1:]
        outputs = [finest]
        for node, x, y in zip(self.bottom_up, features[1:-1], reversed(middle), strict=False):
            outputs.append(node([x, y, outputs[-1]], self.down))
        outputs.append(self.bottom_up[-1]([features[-1], outputs[-1]], self.down))
        return outputs


@OBJECT_REGISTRY.register
class BiFPN(PyramidNeck):
    """`stack` exchanges between the features of `out_strides`, all of `out_channels`.

    Levels beyond the backbone are made from its last feature: 1×1 convolution, batch norm and 2×2 max-pool for the
    first, another max-pool for each further one. Sides of the image must be multiples of the coarsest stride.

    Weights start at unit gain (:func:`~hatlite.nn.init.init_he`), not at the customary N(0, 0.01²): two convolutions in
    a row would carry so small a signal that the ε of the batch norm behind them swallows it.

    Args:
        in_strides: Strides of the features that arrive, fine to coarse.
        out_strides: Strides of the features that leave: those of `in_strides` from `start_level` to `end_level`, then
            doublings.
        out_channels: Channels of every output.
        num_outs: Number of outputs; the length of `out_strides`.
        stack: Number of exchanges.
        start_level: Index of the first input that is used.
        end_level: Index of the last input that is used; −1 is the last.
        fpn_name: ``bifpn_sum``.
        stride2channels: Channels of the inputs. None takes them from the backbone (:meth:`bind`).
        bn_kwargs: Further arguments of every ``nn.BatchNorm2d``.

    Raises:
        BuildError: The strides do not follow from one another, or `fpn_name` is not supported.
    """

    def __init__(
        self,
        in_strides: Sequence[int] = (2, 4, 8, 16, 32),
        out_strides: Sequence[int] = (8, 16, 32, 64, 128),
        out_channels: int = 64,
        *,
        num_outs: int | None = None,
        stack: int = 3,
        start_level: int = 2,
        end_level: int = -1,
        fpn_name: str = "bifpn_sum",
        stride2channels: Mapping[int, int] | None = None,
        bn_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if fpn_name != "bifpn_sum":
            raise BuildError(f"BiFPN: fpn_name is {fpn_name!r}; 'bifpn_sum' is the one that has an integer form.")
        self.stack, self.bn_kwargs = stack, bn_kwargs
        strides = {"in_strides": in_strides, "out_strides": out_strides, "num_outs": num_outs}
        levels = {"start_level": start_level, "end_level": end_level}
        super().__init__(out_channels, **strides, **levels, stride2channels=stride2channels)

    @property
    def size_divisor(self) -> int:
        """All levels are resized onto one another, down to the coarsest."""
        return max(self.out_strides)

    def make_layers(self, in_channels: Mapping[int, int]) -> None:
        """Build what exchanges features of these channels."""
        widths = [in_channels[stride] for stride in self.used_strides]
        extra = self.num_extra
        if extra:
            self.extra_conv = conv_bn(widths[-1], self.out_channels, bn_kwargs=self.bn_kwargs)
            self.extra_pools = nn.ModuleList(nn.MaxPool2d(2, 2) for _ in range(extra))
        widths += [self.out_channels] * extra
        self.layers = nn.ModuleList(
            _Layer(widths if i == 0 else [self.out_channels] * len(widths), self.out_channels, self.bn_kwargs)
            for i in range(self.stack)
        )
        init_he(self)

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return one feature (N, out_channels, H / stride, W / stride) per output stride, fine to coarse."""
        levels = self.used(features)
        if self.num_extra:
            x = self.extra_conv(levels[-1])
            for pool in self.extra_pools:
                x = pool(x)
                levels.append(x)
        for layer in self.layers:
            levels = layer(levels)
        return levels
