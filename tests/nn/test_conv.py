"""conv_bn keeps the size, names its parts and has no bias."""

import pytest
import torch

from hatlite.errors import BuildError
from hatlite.nn.conv import conv_bn, make_activation


@pytest.mark.parametrize(("kernel_size", "stride", "size"), [(1, 1, 8), (3, 1, 8), (3, 2, 4), (5, 2, 4)])
def test_padding_keeps_or_divides_the_size(kernel_size, stride, size):
    layer = conv_bn(4, 6, kernel_size, stride=stride, activation="relu")
    assert layer(torch.randn(2, 4, 8, 8)).shape == (2, 6, size, size)


def test_children_have_names_and_conv_has_no_bias():
    layer = conv_bn(4, 4, 3, groups=4, activation="relu6", bn_kwargs={"momentum": 0.25})
    assert list(dict(layer.named_children())) == ["conv", "bn", "activation"]
    assert layer.conv.bias is None
    assert layer.bn.momentum == 0.25
    assert "activation" not in dict(conv_bn(4, 4).named_children())


def test_unknown_activation():
    with pytest.raises(BuildError, match="activation is 'gelu'; expected one of relu, relu6, swish"):
        make_activation("gelu")
