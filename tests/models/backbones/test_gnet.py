"""GNet: the order of its layers, its sizes, its first weights, and what it refuses."""

import math

import pytest
import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.backbones.gnet import GNet

WIDTHS = [[4], [8, 8], [16]]


def test_layers_in_the_order_in_which_they_run():
    names = [name for name, _ in GNet(56, widths=WIDTHS).named_children()]
    assert names == ["conv0", "relu0", "pool0", "conv1", "relu1", "conv2", "relu2", "pool1", "conv3", "relu3"]
    names = [name for name, _ in GNet(14, widths=[[4, 8]], batch_norm=True).named_children()]
    assert names == ["conv0", "bn0", "relu0", "conv1", "bn1", "relu1"]


@pytest.mark.parametrize(("size", "stride"), [(448, 32), (224, 16)])
def test_published_networks_end_in_fourteen_cells(size, stride):
    with torch.device("meta"):
        backbone = GNet(size)
        (feature,) = backbone(torch.empty(2, 3, size, size))
    assert feature.shape == (2, 256, 14, 14)
    assert backbone.stride2channels == {stride: 256}
    assert backbone.input_size == (size, size)
    convs = [layer for layer in backbone.children() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convs] == [64, 64, 128, 128, *[256] * 11]
    assert all(layer.kernel_size == (3, 3) and layer.bias is not None for layer in convs)


def test_features_are_what_a_relu_leaves():
    (feature,) = GNet(56, widths=WIDTHS)(torch.randint(0, 32, (1, 3, 56, 56)).float())
    assert feature.shape == (1, 16, 14, 14)
    assert feature.min() >= 0


def test_first_weights_are_those_of_the_fan_out():
    torch.manual_seed(0)
    backbone = GNet(28, widths=[[64], [128]])
    assert backbone.conv1.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 128)), rel=0.02)
    assert backbone.conv1.bias.abs().max() == 0


@pytest.mark.parametrize("size", [416, 300, 0])
def test_the_chip_takes_two_sizes(size):
    with pytest.raises(BuildError, match=f"GNet: input_size is {size}, but the chip takes .* 224×224; set 448 or 224"):
        GNet(size)


def test_a_size_that_the_pools_do_not_bring_down():
    with pytest.raises(
        BuildError, match=r"input_size is 112, but with 2 pools between the 3 blocks .* of 56×56 pixels"
    ):
        GNet(112, widths=WIDTHS)


@pytest.mark.parametrize("widths", [[], [[4], []], [[4, 0]]])
def test_blocks_have_channels(widths):
    with pytest.raises(BuildError, match=r"widths is .*; expected lists of channels, at least one in each"):
        GNet(14, widths=widths)
