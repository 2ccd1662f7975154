"""The chain of convolutions and pools in front of GNetDet's head, as the GTI 5801 runs it."""

from collections.abc import Sequence

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.nn.init import init_he
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["GNet"]

GRID = 14
"""Cells per side of what it returns."""

_WIDTHS = {
    448: ((64,), (64,), (128, 128), (256,) * 3, (256,) * 3, (256,) * 5),
    224: ((64, 64), (128, 128), (256,) * 3, (256,) * 3, (256,) * 5),
}


@OBJECT_REGISTRY.register
class GNet(nn.Module):
    """Fifteen 3×3 convolutions with bias and ReLU, and 2×2 pools until 14×14 cells are left.

    Children are ``conv0``, ``relu0``, ``pool0``, ``conv1`` … in the order in which they run, with `batch_norm` also
    ``bn0`` between a convolution and its ReLU. The input is 0…31 as float32, without mean and deviation.

    Args:
        input_size: Height and width of the image, 448 or 224.
        batch_norm: Put a batch norm behind every convolution, which trains far better from random weights. The chip
            has none; it is folded into weight and bias when weights are quantised.
        widths: Channels of the convolutions, a list for each block; a pool stands between two blocks. None is the
            published network of `input_size`. With others, such as narrow ones to try things out, `input_size` has to
            be what the pools bring down to 14.

    Raises:
        BuildError: `input_size` is none that ends in 14×14 cells.
    """

    pixel_scale = 1.0
    """What an input of 1 stands for: the integers of the network's input are the values of the image."""
    pixel_levels = (0, 31)
    """Least and greatest integer of the input."""

    def __init__(
        self, input_size: int = 448, *, batch_norm: bool = False, widths: Sequence[Sequence[int]] | None = None
    ) -> None:
        super().__init__()
        blocks = _blocks(input_size, widths)
        self.input_size = (input_size, input_size)
        self.stride, self.out_channels = input_size // GRID, blocks[-1][-1]
        channels, index = 3, 0
        for number, block in enumerate(blocks):
            if number:
                self.add_module(f"pool{number - 1}", nn.MaxPool2d(2))
            for width in block:
                self.add_module(f"conv{index}", nn.Conv2d(channels, width, 3, padding=1))
                if batch_norm:
                    self.add_module(f"bn{index}", nn.BatchNorm2d(width))
                self.add_module(f"relu{index}", nn.ReLU())
                channels, index = width, index + 1
        init_he(self)

    @property
    def stride2channels(self) -> dict[int, int]:
        """Channels of the feature at its stride."""
        return {self.stride: self.out_channels}

    def forward(self, img: torch.Tensor) -> list[torch.Tensor]:
        """Return the one feature (N, C, 14, 14) of `img` (N, 3, H, W) in 0…31, as a list."""
        x = img
        for layer in self.children():
            x = layer(x)
        return [x]


def _blocks(input_size: int, widths: Sequence[Sequence[int]] | None) -> tuple[tuple[int, ...], ...]:
    if widths is None:
        if input_size not in _WIDTHS:
            raise BuildError(
                f"GNet: input_size is {input_size}, but the chip takes images of 448×448 and 224×224; set 448 or 224."
            )
        return _WIDTHS[input_size]
    blocks = tuple(tuple(block) for block in widths)
    if not blocks or not all(blocks) or min(map(min, blocks)) < 1:
        raise BuildError(f"GNet: widths is {widths!r}; expected lists of channels, at least one in each: [[8], [16]].")
    expected = GRID * 2 ** (len(blocks) - 1)
    if input_size != expected:
        raise BuildError(
            f"GNet: input_size is {input_size}, but with {len(blocks) - 1} pools between the {len(blocks)} blocks of"
            f" widths {GRID}×{GRID} cells are left of {expected}×{expected} pixels; set input_size to that, or give"
            " other widths."
        )
    return blocks
