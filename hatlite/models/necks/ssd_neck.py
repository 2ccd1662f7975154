"""The further levels of SSD512. Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016, section 3.5."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.necks.pyramid import PyramidNeck
from hatlite.nn.init import init_he
from hatlite.nn.l2_norm import L2Norm
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["SSDNeck"]


@OBJECT_REGISTRY.register
class SSDNeck(PyramidNeck):
    """The first feature normalised, the others as they are, and levels that halve the size one after the other.

    A further level is a 1×1 convolution to half of its channels and a 3×3 convolution of stride 2, each with a ReLU;
    the last one ends with a 4×4 convolution that takes a whole map of 2×2 instead.

    Args:
        in_strides: Strides of the features that arrive, fine to coarse; all are used.
        out_strides: Those and doublings.
        out_channels: Channels of every output; of the first ones those of the features.
        l2_norm_scale: What the factors of :class:`~hatlite.nn.l2_norm.L2Norm` begin with; None leaves the
            normalisation out, which integers cannot compute.
        stride2channels: Channels of the inputs. None takes them from the backbone (:meth:`bind`).

    Raises:
        BuildError: Strides or channels do not follow from one another.
    """

    def __init__(
        self,
        in_strides: Sequence[int] = (8, 16),
        out_strides: Sequence[int] = (8, 16, 32, 64, 128, 256, 512),
        out_channels: Sequence[int] = (512, 1024, 512, 256, 256, 256, 256),
        *,
        l2_norm_scale: float | None = 20.0,
        stride2channels: Mapping[int, int] | None = None,
    ) -> None:
        if len(out_channels) != len(out_strides):
            raise BuildError(
                f"SSDNeck: out_channels has {len(out_channels)} numbers; expected one for each of "
                f"neck.out_strides {list(out_strides)}."
            )
        self.l2_norm_scale = l2_norm_scale
        strides = {"in_strides": in_strides, "out_strides": out_strides}
        super().__init__(tuple(out_channels), **strides, stride2channels=stride2channels)

    @property
    def size_divisor(self) -> int:
        """No level is resized onto another."""
        return max(self.in_strides)

    def make_layers(self, in_channels: Mapping[int, int]) -> None:
        """Build the normalisation and the further levels."""
        widths = list(self.stride2channels.values())
        given = [in_channels[stride] for stride in self.in_strides]
        if widths[: len(given)] != given:
            raise BuildError(
                f"SSDNeck: neck.out_channels begins with {widths[: len(given)]}, but the features of the strides "
                f"{list(self.in_strides)} have {given} channels, which the neck leaves as they are."
            )
        scale = self.l2_norm_scale
        self.l2_norm = nn.Identity() if scale is None else L2Norm(widths[0], scale)
        steps = list(pairwise(widths[len(given) - 1 :]))
        self.extras = nn.ModuleList(
            _halving(before, after, last=number == len(steps)) for number, (before, after) in enumerate(steps, 1)
        )
        init_he(self)

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return one feature per output stride, fine to coarse."""
        first, *others = features
        outputs, x = [self.l2_norm(first), *others], features[-1]
        for extra in self.extras:
            x = extra(x)
            outputs.append(x)
        return outputs


def _halving(in_channels: int, out_channels: int, *, last: bool) -> nn.Sequential:
    middle = out_channels // 2
    window = {"kernel_size": 4, "padding": 1} if last else {"kernel_size": 3, "stride": 2, "padding": 1}
    half = nn.Conv2d(middle, out_channels, **window)
    return nn.Sequential(nn.Conv2d(in_channels, middle, 1), nn.ReLU(), half, nn.ReLU())
