"""GNetHead: its output's name, channels and type, and zeros that can be raised."""

import pytest
import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.heads.gnet_head import GNetHead
from hatlite.nn import RaisableReLU


def test_one_output_with_two_boxes_and_the_classes():
    head = GNetHead(3)
    head.bind({32: 8})
    outputs = head([torch.randn(2, 8, 14, 14)])
    assert {name: tuple(x.shape) for name, x in outputs.items()} == {"predictions_s32": (2, 13, 14, 14)}
    assert outputs["predictions_s32"].min() >= 0
    assert (head.out_strides, head.output_strides) == ((32,), {"predictions_s32": 32})
    assert head.conv15.bias.tolist() == [0] * 13


def test_type_of_the_output():
    assert GNetHead(3).dequant.dtype == "int8"
    assert GNetHead(3, int16_output=True).dequant.dtype == "int16"


def test_a_dead_output_comes_back_to_life():
    """Where the convolution gives nothing but negative numbers a plain ReLU would never learn."""
    for raises, expected in ((True, -1.0), (False, 0.0)):
        head = GNetHead(1, raise_zeros=raises)
        head.bind({32: 2})
        nn.init.constant_(head.conv15.bias, -100.0)
        output = head([torch.rand(1, 2, 1, 1)])["predictions_s32"]
        (-output.sum()).backward()  # a loss that wants more
        assert head.conv15.bias.grad.tolist() == [expected] * 11
        assert isinstance(head.relu15, RaisableReLU) is raises


def test_it_may_start_inside_of_what_is_asked_for():
    torch.manual_seed(0)
    head = GNetHead(2, start_inside=True)
    head.bind({32: 64})
    slot = [0.5, 0.5, 0.15, 0.15, 0.1]
    assert head.conv15.bias.tolist() == pytest.approx([*slot, *slot, 0.2, 0.2])
    assert head.conv15.weight.std().item() == pytest.approx(0.01, rel=0.05)


def test_results_are_multiplied_by_the_gain():
    head = GNetHead(1)
    head.bind({32: 2})
    before = head([torch.rand(1, 2, 3, 3, generator=torch.Generator().manual_seed(0))])["predictions_s32"]
    head.dequant.gain.copy_(torch.arange(11.0))
    after = head([torch.rand(1, 2, 3, 3, generator=torch.Generator().manual_seed(0))])["predictions_s32"]
    assert torch.equal(after, before * torch.arange(11.0).reshape(-1, 1, 1))


def test_refusals():
    with pytest.raises(BuildError, match="GNetHead: num_classes is 0; expected 1 or more"):
        GNetHead(0)
    with pytest.raises(BuildError, match=r"GNetHead: features of strides \[8, 16\] arrive; expected one, as GNet"):
        GNetHead(3).bind({8: 4, 16: 4})
