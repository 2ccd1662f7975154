"""PyramidNeck: which features are used, and what channels and strides must be."""

import pytest
import torch

from hatlite.errors import BuildError
from hatlite.models.necks.pyramid import PyramidNeck

CHANNELS = {4: 6, 8: 7, 16: 8}


class Own(PyramidNeck):
    made = None

    def __init__(self, out_channels=5, **options):
        super().__init__(out_channels, **{"in_strides": (4, 8, 16), "out_strides": (8, 16, 32), **options})

    @property
    def size_divisor(self):
        return 16

    def make_layers(self, in_channels):
        assert self.made is None
        self.made = dict(in_channels)


def test_levels_in_and_out():
    neck = Own(start_level=1, stride2channels={**CHANNELS, 64: 9})
    assert (neck.used_strides, neck.num_extra) == ((8, 16), 1)
    assert neck.made == neck.in_channels == CHANNELS
    assert neck.stride2channels == {8: 5, 16: 5, 32: 5}
    features = [torch.full((1,), float(stride)) for stride in CHANNELS]
    assert [x.item() for x in neck.used(features)] == [8, 16]
    assert Own((1, 2, 3), start_level=1).stride2channels == {8: 1, 16: 2, 32: 3}
    assert Own(end_level=1, out_strides=(4, 8)).used_strides == (4, 8)


def test_layers_are_made_once_the_channels_are_known():
    neck = Own(start_level=1)
    assert neck.made is None
    neck.bind(CHANNELS)
    neck.bind(CHANNELS)
    assert neck.made == CHANNELS
    with pytest.raises(BuildError, match=r"neck.stride2channels is \{4: 6.*, but backbone.stride2channels is \{4: 1"):
        neck.bind({4: 1, 8: 1, 16: 1})
    with pytest.raises(
        BuildError, match=r"neck.in_strides is \[4, 8, 16\], but the backbone gives .* strides \[2, 4, 8"
    ):
        neck.bind({2: 5, **CHANNELS})


def test_refuses_what_does_not_fit():
    with pytest.raises(BuildError, match=r"Own: neck.out_strides is \[8, 16, 32\].*such as \[4, 8, 16\]"):
        Own()
    with pytest.raises(BuildError, match=r"neck.num_outs is 4, but len\(neck.out_strides\) is 3"):
        Own(start_level=1, num_outs=4)
    with pytest.raises(BuildError, match=r"Own: neck.in_strides \[8, 4, 16\] must rise .*; write \[4, 8, 16\]"):
        Own(in_strides=(8, 4, 16))
    with pytest.raises(BuildError, match=r"Own: no channels are known for the strides \[16\]; stride2channels is \{4"):
        Own(start_level=1, stride2channels={4: 6, 8: 7})
