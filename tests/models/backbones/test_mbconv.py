"""The inverted residual: when it adds, when it does not."""

import torch
from torch import nn

from hatlite.models.backbones.mbconv import MBConv, SqueezeExcite


def test_adds_only_where_shapes_agree():
    assert MBConv(8, 8).add is not None
    assert MBConv(8, 8, stride=2).add is None
    assert MBConv(8, 16).add is None


def test_a_silent_branch_leaves_the_input():
    block = MBConv(8, 8, expand_ratio=2).eval()
    nn.init.zeros_(block.project.conv.weight)
    x = torch.randn(1, 8, 4, 4)
    assert torch.equal(block(x), x)


def test_no_expansion_at_ratio_one():
    assert isinstance(MBConv(8, 8, expand_ratio=1).expand, nn.Identity)


def test_excitation_is_a_gate_per_channel():
    layer = SqueezeExcite(4, 2)
    nn.init.zeros_(layer.expand.weight)
    nn.init.zeros_(layer.expand.bias)
    x = torch.randn(1, 4, 3, 3)
    assert torch.equal(layer(x), x * 0.5)
