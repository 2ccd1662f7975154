"""SSDNeck: seven levels of SSD512, and what it refuses."""

import pytest
import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.necks.ssd_neck import SSDNeck
from hatlite.nn import L2Norm

SMALL = {"out_channels": (4, 6, 4, 2, 2, 2, 2), "stride2channels": {8: 4, 16: 6}}


def test_seven_levels():
    neck = SSDNeck(**SMALL)
    outputs = neck([torch.randn(1, 4, 64, 64), torch.randn(1, 6, 32, 32)])
    assert [tuple(x.shape[1:]) for x in outputs] == [
        (4, 64, 64), (6, 32, 32), (4, 16, 16), (2, 8, 8), (2, 4, 4), (2, 2, 2), (2, 1, 1)
    ]  # fmt: skip
    assert neck.stride2channels == {8: 4, 16: 6, 32: 4, 64: 2, 128: 2, 256: 2, 512: 2}
    assert neck.size_divisor == 16


def test_the_first_level_alone_is_normalised():
    neck = SSDNeck(**SMALL)
    assert isinstance(neck.l2_norm, L2Norm)
    assert neck.l2_norm.weight.tolist() == [20.0] * 4
    features = [torch.randn(1, 4, 64, 64), torch.randn(1, 6, 32, 32)]
    first, second, *_ = neck(features)
    torch.testing.assert_close(first.norm(dim=1), torch.full((1, 64, 64), 20.0))
    assert second is features[1]
    assert isinstance(SSDNeck(**SMALL, l2_norm_scale=None).l2_norm, nn.Identity)


def test_the_published_layers():
    neck = SSDNeck(stride2channels={8: 512, 16: 1024})
    convs = [layer for layer in neck.modules() if isinstance(layer, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, *c.kernel_size[:1], *c.stride[:1]) for c in convs] == [
        (1024, 256, 1, 1), (256, 512, 3, 2), (512, 128, 1, 1), (128, 256, 3, 2), (256, 128, 1, 1), (128, 256, 3, 2),
        (256, 128, 1, 1), (128, 256, 3, 2), (256, 128, 1, 1), (128, 256, 4, 1),
    ]  # fmt: skip


def test_refuses_what_does_not_fit():
    with pytest.raises(
        BuildError, match=r"out_channels has 2 numbers; expected one for each of neck.out_strides \[8, 1"
    ):
        SSDNeck(out_channels=(512, 1024))
    with pytest.raises(BuildError, match=r"out_channels begins with \[512, 1024\], but the features .* have \[4, 6\]"):
        SSDNeck(stride2channels={8: 4, 16: 6})
