"""FPN: which level reads which, sizes, and what it refuses."""

import pytest
import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.necks.fpn import FPN

CHANNELS = {2: 16, 4: 16, 8: 16, 16: 32, 32: 48}


def features_of(size=(256, 256)):
    return [torch.randn(2, c, size[0] // s, size[1] // s) for s, c in CHANNELS.items()]


def fpn(out_channels=16, **options):
    return FPN(out_channels=out_channels, stride2channels=CHANNELS, **options)


def convs_of(module):
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def test_six_outputs_of_one_width():
    neck = fpn(num_outs=6)
    assert [tuple(x.shape[1:]) for x in neck(features_of())] == [(16, 256 // s, 256 // s) for s in neck.out_strides]
    assert neck.stride2channels == dict.fromkeys((8, 16, 32, 64, 128, 256), 16)
    assert neck.size_divisor == 32
    # 384 and 320 are no multiples of 256: a further level has half of the cells, rounded up.
    assert [tuple(x.shape[2:]) for x in neck(features_of((384, 320)))[3:]] == [(6, 5), (3, 3), (2, 2)]


def test_levels_come_down_and_further_ones_follow_one_another():
    """With convolutions that hand on, values spell out the graph: input i counts 10^i."""
    neck = fpn(1).eval()
    neck.laterals = nn.ModuleList(nn.Identity() for _ in range(3))
    neck.outputs = nn.ModuleList(nn.Identity() for _ in range(3))
    neck.extras = nn.ModuleList(nn.MaxPool2d(2) for _ in range(3))
    inputs = [torch.full((1, 1, 256 // s, 256 // s), 10.0**i) for i, s in enumerate(CHANNELS)]
    values = [x.unique().tolist() for x in neck(inputs)]
    assert values == [[11100], [11000], [10000], [10000], [10000], [10000]]


def test_further_levels_read_the_output_or_the_input():
    on_output, on_input = fpn(), fpn(add_extra_convs="on_input")
    assert [conv.in_channels for conv in convs_of(on_output.extras)] == [16, 16, 16]
    assert [conv.in_channels for conv in convs_of(on_input.extras)] == [48, 16, 16]
    for neck in (on_output.eval(), on_input.eval()):
        features = features_of()
        outputs = neck(features)
        source = outputs[2] if neck is on_output else features[-1]
        assert torch.equal(outputs[3], neck.extras[0](source))


@pytest.mark.parametrize(("conv_type", "groups"), [("plain", 1), ("depthwise", 16), ("grouped", 1)])
def test_kinds_of_convolutions(conv_type, groups):
    neck = fpn(conv_type=conv_type)
    spatial = [conv for conv in convs_of(neck) if conv.kernel_size == (3, 3)]
    assert {conv.groups for conv in spatial} == {groups}
    assert len(spatial) == 6
    assert len(convs_of(neck)) == (9 if conv_type == "plain" else 15)
    assert not any(conv.bias is not None for conv in convs_of(neck))
    assert [type(layer) for layer in neck.laterals[0]] == [nn.Conv2d, nn.BatchNorm2d]
    assert convs_of(fpn(32, conv_type="grouped", group_width=8).outputs)[0].groups == 4


def test_biases_instead_of_norms():
    neck = fpn(norm=False, upsample="nearest", out_strides=(8, 16, 32))
    assert all(conv.bias is not None for conv in convs_of(neck))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in neck.modules())
    assert neck.up.mode == "nearest"
    assert len(neck.extras) == 0
    assert len(neck(features_of())) == 3


def test_refuses_what_does_not_fit():
    with pytest.raises(BuildError, match="add_extra_convs is 'on_lateral'; expected on_output or on_input"):
        fpn(add_extra_convs="on_lateral")
    with pytest.raises(BuildError, match=r"FPN: neck.out_strides is \[8, 32\], but .*such as \[8, 16, 32\]"):
        fpn(out_strides=(8, 32))
    with pytest.raises(BuildError, match="conv_type is 'lite'"):
        fpn(conv_type="lite")
