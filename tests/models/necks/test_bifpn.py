"""BiFPN: which node reads which, and what it refuses."""

import pytest
import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.necks.bifpn import BiFPN

CHANNELS = {2: 4, 4: 4, 8: 6, 16: 8, 32: 10}


def features_of(size=128):
    return [torch.randn(2, c, size // s, size // s) for s, c in CHANNELS.items()]


def test_five_outputs_of_one_width():
    neck = BiFPN(out_channels=8, stack=2, stride2channels=CHANNELS)
    outputs = neck(features_of())
    assert [tuple(x.shape) for x in outputs] == [(2, 8, 128 // s, 128 // s) for s in (8, 16, 32, 64, 128)]
    assert neck.stride2channels == dict.fromkeys((8, 16, 32, 64, 128), 8)


def test_nodes_read_what_the_paper_says():
    """With nodes that only add, output values spell out the graph: input i counts 10^i."""
    neck = BiFPN(out_channels=1, stack=1, stride2channels=dict.fromkeys(CHANNELS, 1)).eval()
    layer = neck.layers[0]
    for node in (*layer.top_down, *layer.bottom_up):
        node.depthwise, node.pointwise = nn.Identity(), nn.Identity()
    inputs = [torch.full((1, 1, 128 // s, 128 // s), 10.0**i) for i, s in enumerate((8, 16, 32, 64, 128))]
    outputs = [x.unique().tolist() for x in layer(inputs)]
    # Nodes: 5 = 3+4, 6 = 2+5, 7 = 1+6, 8 = 0+7; 9 = 1+7+8, 10 = 2+6+9, 11 = 3+5+10, 12 = 4+11.
    node8 = 11111.0
    node9 = 10 + 11110 + node8
    node10 = 100 + 11100 + node9
    node11 = 1000 + 11000 + node10
    node12 = 10000 + node11
    assert outputs == [[node8], [node9], [node10], [node11], [node12]]


def test_an_edge_has_a_convolution_only_where_widths_differ():
    neck = BiFPN(out_channels=8, stack=2, stride2channels=CHANNELS)
    first, second = neck.layers
    # Level 8 is read once, 16 twice (it has eight channels already), 32 twice; the extra levels are of the right width.
    convs = [
        sum(isinstance(edge, nn.Sequential) for node in part for edge in node.edges)
        for part in (first.top_down, first.bottom_up, second.top_down, second.bottom_up)
    ]
    assert convs == [2, 1, 0, 0]


def test_extra_levels_are_pooled():
    neck = BiFPN(out_channels=8, stack=1, stride2channels=CHANNELS)
    assert neck.extra_conv.conv.in_channels == 10
    assert len(neck.extra_pools) == 2
    assert not hasattr(BiFPN(out_strides=(8, 16, 32), stride2channels=CHANNELS), "extra_conv")


def test_fewer_levels():
    neck = BiFPN(out_strides=(16, 32, 64), start_level=3, out_channels=8, stack=2, stride2channels=CHANNELS)
    assert [x.shape[-1] for x in neck(features_of(64))] == [4, 2, 1]
    neck = BiFPN(out_strides=(8, 16), end_level=3, out_channels=8, stack=1, stride2channels=CHANNELS)
    assert [x.shape[-1] for x in neck(features_of(64))] == [8, 4]


def test_channels_come_from_the_backbone():
    neck = BiFPN(out_channels=8, stack=1)
    neck.bind(CHANNELS)
    assert neck.in_channels == CHANNELS
    neck.bind(CHANNELS)  # the same again changes nothing
    wrong = BiFPN(out_channels=8, stack=1, stride2channels={**CHANNELS, 8: 40})
    text = r"neck.stride2channels is .*8: 40.*, but backbone.stride2channels is .*8: 6.*\n  Set .* to \{2: 4, 4: 4, 8"
    with pytest.raises(BuildError, match=text):
        wrong.bind(CHANNELS)


def test_refuses_what_does_not_fit():
    with pytest.raises(BuildError, match="fpn_name is 'bifpn_fa'; 'bifpn_sum' is the one that has an integer form"):
        BiFPN(fpn_name="bifpn_fa")
    with pytest.raises(BuildError, match=r"neck.num_outs is 4, but len\(neck.out_strides\) is 5"):
        BiFPN(num_outs=4)
    with pytest.raises(BuildError, match=r"out_strides is \[4, 8, 16, 32, 64\].*such as \[8, 16, 32, 64, 128\]"):
        BiFPN(out_strides=(4, 8, 16, 32, 64))
    with pytest.raises(BuildError, match="expected at least two strides"):
        BiFPN(out_strides=(8,), end_level=2)
    with pytest.raises(BuildError, match=r"no channels are known for the strides \[32\]"):
        BiFPN(stride2channels={2: 4, 4: 4, 8: 6, 16: 8})
