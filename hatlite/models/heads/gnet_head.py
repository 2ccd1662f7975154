"""The head of GNetDet: one convolution that says all of a cell."""

from collections.abc import Mapping

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.predictions import GRID_BOX_CHANNELS
from hatlite.nn.activation import RaisableReLU
from hatlite.nn.init import init_he
from hatlite.nn.stubs import DeQuantStub
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["GNetHead"]

_SMALL_STD = 0.01
_CENTRE, _SIDE, _CONFIDENCE, _CLASS = 0.5, 0.15, 0.1, 0.2
"""What every slot and every class says at first, where it starts inside of what can be asked for."""


@OBJECT_REGISTRY.register
class GNetHead(nn.Module):
    """A 3×3 convolution and a ReLU: two boxes and the classes of every cell, all ≥ 0.

    The output is called ``predictions_s32`` with the stride of the feature; its channels are those of
    :func:`hatlite.models.predictions.split_grid`.

    Args:
        num_classes: Number of classes.
        int16_output: The output leaves the accelerator as int16, else as int8. A march whose activations have 5 bits
            has outputs of 10 bits in int16.
        raise_zeros: In float training an output that is 0 gets the gradient that would raise it, so that none dies.
        start_inside: Begin with small weights and with biases that say: a centre in the middle of the cell, sides of
            0.15, confidence 0.1, every class 0.2. Else as published, which gives a network with batch norm outputs of
            several times what is asked for, and half of them 0.

    Attributes:
        out_strides: The one stride; empty until :meth:`bind` was called.

    Raises:
        BuildError: `num_classes` is below 1.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        int16_output: bool = False,
        raise_zeros: bool = True,
        start_inside: bool = False,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise BuildError(f"GNetHead: num_classes is {num_classes}; expected 1 or more.")
        self.num_classes = num_classes
        self.out_strides: tuple[int, ...] = ()
        self.relu15 = RaisableReLU() if raise_zeros else nn.ReLU()
        self.start_inside = start_inside
        self.dequant = DeQuantStub("int16" if int16_output else "int8", GRID_BOX_CHANNELS + num_classes)

    @property
    def output_strides(self) -> dict[str, int]:
        """Stride of the output by its name."""
        return {f"predictions_s{stride}": stride for stride in self.out_strides}

    def bind(self, stride2channels: Mapping[int, int]) -> None:
        """Build the convolution for the one feature that arrives.

        Raises:
            BuildError: There are several.
        """
        if len(stride2channels) != 1:
            raise BuildError(
                f"GNetHead: features of strides {list(stride2channels)} arrive; expected one, as GNet returns it."
            )
        ((stride, channels),) = stride2channels.items()
        self.out_strides = (stride,)
        self.conv15 = nn.Conv2d(channels, GRID_BOX_CHANNELS + self.num_classes, 3, padding=1)
        init_he(self.conv15)
        if self.start_inside:
            self._start_inside()

    @torch.no_grad()
    def _start_inside(self) -> None:
        nn.init.normal_(self.conv15.weight, std=_SMALL_STD)
        first = [_CENTRE, _CENTRE, _SIDE, _SIDE, _CONFIDENCE] * 2 + [_CLASS] * self.num_classes
        self.conv15.bias.copy_(torch.tensor(first))

    def forward(self, features: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return (N, 10 + classes, H, W) by name."""
        (feature,) = features
        (name,) = self.output_strides
        return {name: self.dequant(self.relu15(self.conv15(feature)))}
