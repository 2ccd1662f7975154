"""conv_3x3: steps, groups and endings."""

import pytest
import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.nn.separable import conv_3x3


def kinds(module):
    return [type(layer).__name__ for layer in module.modules() if not isinstance(layer, nn.Sequential)]


def test_plain_is_one_convolution():
    conv = conv_3x3(4, 6)
    assert kinds(conv) == ["Conv2d", "BatchNorm2d"]
    assert conv.conv.bias is None
    biased = conv_3x3(4, 6, norm=False)
    assert kinds(biased) == ["Conv2d"]
    assert biased.conv.bias is not None


@pytest.mark.parametrize(("conv_type", "groups"), [("depthwise", 32), ("grouped", 4)])
def test_two_steps(conv_type, groups):
    conv = conv_3x3(32, 6, conv_type, stride=2, group_width=8, bn_kwargs={"momentum": 0.3})
    assert kinds(conv) == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d"]
    assert (conv.spatial.conv.groups, conv.spatial.conv.out_channels, conv.conv.kernel_size) == (groups, 32, (1, 1))
    assert conv.bn.momentum == conv.spatial.bn.momentum == 0.3
    assert conv(torch.zeros(1, 32, 7, 8)).shape == (1, 6, 4, 4)
    assert kinds(conv_3x3(32, 6, conv_type, norm=False)) == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d"]


def test_refuses_what_does_not_fit():
    with pytest.raises(BuildError, match="conv_type is 'separable'; expected one of plain, depthwise, grouped"):
        conv_3x3(4, 6, "separable")
    with pytest.raises(BuildError, match="splits 24 channels into groups of 16, which leaves some over; choose a gro"):
        conv_3x3(24, 6, "grouped")
