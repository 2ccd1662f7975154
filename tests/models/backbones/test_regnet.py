"""RegNetX: published sizes, a grouped block without a difference, and what it refuses."""

from functools import partial

import pytest
from networks import disturbed
from operator_networks import assert_exact, calibrated, conv
from torch import nn
from torchvision.models.regnet import ResBottleneckBlock

from hatlite.errors import BuildError
from hatlite.models.backbones.regnet import RegNet, _ResBottleneckBlock


def test_published_sizes() -> None:
    net = RegNet(include_top=True)
    assert net.stride2channels == {2: 32, 4: 64, 8: 128, 16: 288, 32: 672}
    assert sum(p.numel() for p in net.parameters()) == 7_259_656  # torchvision's published number


def test_blocks_are_exact_with_and_without_a_projection() -> None:
    block = partial(ResBottleneckBlock, norm_layer=nn.BatchNorm2d, activation_layer=nn.ReLU, group_width=4)
    blocks = _ResBottleneckBlock(block(4, 8, 2)), _ResBottleneckBlock(block(8, 8, 1))
    assert_exact(calibrated(lambda: disturbed(nn.Sequential(conv(), *blocks))))


def test_an_unknown_model_type_is_refused() -> None:
    with pytest.raises(BuildError, match=r"^RegNet: model_type is 'y_800mf'; expected one of x_400mf, x_800mf, "):
        RegNet("y_800mf")
