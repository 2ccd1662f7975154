"""ResNet: published sizes, blocks without a difference, and what it refuses."""

import pytest
import torch
from networks import disturbed
from operator_networks import assert_exact, calibrated, conv
from torch import nn
from torchvision.models import resnet

from hatlite.errors import BuildError
from hatlite.models import FCOS, BiFPN, FCOSHead
from hatlite.models.backbones.resnet import ResNet, _BasicBlock, _Bottleneck
from hatlite.nn.conv import conv_bn
from hatlite.registry import OBJECT_REGISTRY

B0_CHANNELS = {2: 16, 4: 24, 8: 40, 16: 112, 32: 320}


@pytest.mark.parametrize(
    ("depth", "channels", "millions"),
    [
        (18, [64, 64, 128, 256, 512], 11.69),
        (34, [64, 64, 128, 256, 512], 21.80),
        (50, [64, 256, 512, 1024, 2048], 25.56),
    ],
)
def test_published_sizes(depth: int, channels: list[int], millions: float) -> None:
    with torch.device("meta"):
        net = ResNet(depth, include_top=True)
    assert net.stride2channels == dict(zip((2, 4, 8, 16, 32), channels, strict=True))
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(("ours", "theirs"), [(_BasicBlock, resnet.BasicBlock), (_Bottleneck, resnet.Bottleneck)])
def test_blocks_are_exact_with_and_without_a_projection(ours: type, theirs: type) -> None:
    width = 4 * theirs.expansion
    blocks = ours(theirs(4, 4, 2, conv_bn(4, width, stride=2))), ours(theirs(width, 4))
    assert_exact(calibrated(lambda: disturbed(nn.Sequential(conv(), *blocks))))


def test_another_depth_is_refused() -> None:
    with pytest.raises(BuildError, match=r"^ResNet: depth is 19; expected one of 18, 34, 50, 101, 152\.$"):
        ResNet(19)


def test_it_replaces_another_backbone_as_one_dict() -> None:
    with torch.device("meta"):
        backbone = OBJECT_REGISTRY.build(dict(type="resnet50", bn_kwargs={}, num_classes=1000, include_top=False))
        model = FCOS(backbone, BiFPN(stack=1), FCOSHead(3, stacked_convs=1)).eval()
        assert set(model.network(torch.empty(1, 3, 128, 128))) == set(model.network.output_strides)


def test_a_neck_that_keeps_the_channels_of_another_backbone_is_told_the_right_ones() -> None:
    with torch.device("meta"), pytest.raises(BuildError) as told:
        FCOS(ResNet(50), BiFPN(stack=1, stride2channels=B0_CHANNELS), FCOSHead(3, stacked_convs=1))
    assert str(told.value) == (
        f"neck.stride2channels is {B0_CHANNELS}, but backbone.stride2channels is "
        "{2: 64, 4: 256, 8: 512, 16: 1024, 32: 2048}; both state the channels of the features."
        "\n  Set neck.stride2channels to {2: 64, 4: 256, 8: 512, 16: 1024, 32: 2048}, or leave it out and it is taken"
        " from there."
    )
