"""MobileNetV2: published sizes, ReLU or ReLU6, and what it refuses."""

import pytest
import torch
from networks import disturbed
from operator_networks import assert_exact, calibrated, conv
from torch import nn
from torchvision.models.mobilenetv2 import InvertedResidual

from hatlite.errors import BuildError
from hatlite.models.backbones.mobilenet_v2 import MobileNetV2, _InvertedResidual


def test_published_sizes() -> None:
    with torch.device("meta"):
        net = MobileNetV2(include_top=True)
    assert net.stride2channels == {2: 16, 4: 24, 8: 32, 16: 96, 32: 320}
    assert sum(p.numel() for p in net.parameters()) == 3_504_872  # torchvision's published number


@pytest.mark.parametrize(("activation", "kind"), [("relu", nn.ReLU), ("relu6", nn.ReLU6)])
def test_all_activations_are_the_one_asked_for(activation: str, kind: type[nn.Module]) -> None:
    with torch.device("meta"):
        net = MobileNetV2(activation=activation, include_top=True)
    assert {type(m) for m in net.modules() if isinstance(m, (nn.ReLU, nn.ReLU6))} == {kind}


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(BuildError, match=r"^activation is 'gelu'; expected one of relu, relu6, swish\.$"):
        MobileNetV2(activation="gelu", width_mult=0.25)


def test_blocks_are_exact_with_and_without_a_residual() -> None:
    block = InvertedResidual(4, 4, 1, 2), InvertedResidual(4, 6, 2, 2), InvertedResidual(6, 6, 1, 1)
    blocks = _InvertedResidual(block[0]), block[1], _InvertedResidual(block[2])
    assert_exact(calibrated(lambda: disturbed(nn.Sequential(conv(), *blocks))))
