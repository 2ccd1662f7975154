"""Transposed convolution, as the ordinary convolution that makes all pixels of a block at once.

With stride s every input pixel becomes a block of s × s pixels. Pixel φ of a block sees only the taps φ, φ + s, φ + 2s
of the kernel, and so on: it is a convolution of its own, with a kernel s times smaller, and nothing is multiplied with
stuffed zeros. So a transposed convolution is one convolution with s · s channels for each of its own, whose channels
then become pixels, and whose edges are cut off (Shi et al. 2016, arXiv:1609.07009). It is the same sum of products.
"""

import math
import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hatlite.graph import Selection
from hatlite.quantization.sites.conv import ConvSite

__all__ = ["ConvTransposeSite", "Phases", "phases_of", "uncut"]


@dataclass(frozen=True)
class Phases:
    """One axis of a transposed convolution.

    Attributes:
        stride: Pixels of a block.
        dilation: Distance of kernel taps in the result.
        taps: Kernel taps of the convolution that makes all phases.
        padding: Its padding, the same at both ends.
        cut: Pixels of the result to cut off at the start and at the end, once its channels are pixels.
    """

    stride: int
    dilation: int
    taps: int
    padding: int
    cut: tuple[int, int]

    @classmethod
    def of(cls, kernel: int, stride: int, padding: int, output_padding: int, dilation: int) -> "Phases":
        """Return the axis of a layer; the arguments are those of torch.nn.ConvTranspose2d."""
        extent = dilation * (kernel - 1) + 1
        taps = math.ceil(extent / stride)
        before = taps - 1 - padding // stride
        behind = math.ceil((extent + output_padding - padding) / stride) - 1
        zeros = max(before, behind, 0)
        first = (taps - 1 - zeros) * stride  # where the first block lies in the result without padding
        cut = (padding - first, (zeros + 1) * stride + padding - extent - output_padding)
        return cls(stride, dilation, taps, zeros, cut)


def phases_of(layer: nn.ConvTranspose2d) -> tuple[Phases, Phases]:
    """Return both axes of `layer`, height and width."""
    fields = (layer.kernel_size, layer.stride, layer.padding, layer.output_padding, layer.dilation)
    height, width = (Phases.of(*axis) for axis in zip(*fields, strict=True))
    return height, width


def uncut(layer: nn.ConvTranspose2d) -> Selection | None:
    """Return what is left of the result when its edges are cut off; None where there is nothing to cut."""
    cuts = [axis.cut for axis in phases_of(layer)]
    if not any(map(any, cuts)):
        return None
    return Selection(operator.itemgetter((..., *(slice(start, -end or None) for start, end in cuts))))


class ConvTransposeSite(ConvSite):
    """The convolution of a transposed one: its channel (c · sh + i) · sw + j makes pixel (i, j) of the blocks of c.

    Every phase has its own weight scale, multiplier and shift, as channels of a convolution have.
    """

    @staticmethod
    def channels_of(layer: nn.ConvTranspose2d) -> int:
        """Return how many channels the convolution has: one for each of the layer's and each pixel of a block."""
        return layer.out_channels * math.prod(layer.stride)

    @property
    def geometry(self) -> tuple[Any, Any, Any, int]:
        """stride, padding, dilation and groups of the convolution that integers compute."""
        padding = tuple(axis.padding for axis in phases_of(self.layer))
        return (1, 1), padding, (1, 1), self.layer.groups

    def parameters_of_fold(self) -> tuple[torch.Tensor | None, ...]:
        """Return weight (O · sh · sw, I / groups, h, w), bias, gamma and beta, real; None for what is not there."""
        bn = self.layers[1]
        norm = (None, None) if bn is None else (bn.weight, bn.bias)
        return self._weight(), *(None if part is None else self._for_phases(part) for part in (self.layer.bias, *norm))

    def statistics(self, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return running mean and variance (with epsilon) of the batch norm for every phase; None without one."""
        found = super().statistics(dtype)
        return None if found is None else (self._for_phases(found[0]), self._for_phases(found[1]))

    def _for_phases(self, channels: torch.Tensor) -> torch.Tensor:
        return channels.repeat_interleave(math.prod(self.layer.stride))

    def _weight(self) -> torch.Tensor:
        """Deal the kernel (I, O / groups, kh, kw) out to the phases; tap φ + m · s is tap m of phase φ, reversed."""
        layer = self.layer
        by_output = layer.weight.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1)  # O, I / groups
        height, width = phases_of(layer)
        kernel = by_output.new_zeros(*by_output.shape[:2], height.taps * height.stride, width.taps * width.stride)
        rows, columns = (slice(0, axis.dilation * (k - 1) + 1, axis.dilation) for axis, k in self._kernel())
        kernel[:, :, rows, columns] = by_output
        dealt = kernel.unflatten(3, (width.taps, width.stride)).unflatten(2, (height.taps, height.stride))
        return dealt.permute(0, 3, 5, 1, 2, 4).flip(4, 5).flatten(0, 2)  # O sh sw, I / groups, h, w

    def _kernel(self) -> zip:
        return zip(phases_of(self.layer), self.layer.kernel_size, strict=True)
