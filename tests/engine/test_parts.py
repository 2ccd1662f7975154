"""Images of random integers: what the network's input can be."""

import torch
from torch import nn

from hatlite.engine.parts import random_image
from hatlite.nn import QuantStub

SHAPE = (1, 3, 40, 40)


def test_a_random_image_has_the_integers_that_the_network_takes():
    img = random_image(nn.Sequential(QuantStub(1.0, (0, 31))), SHAPE)
    assert img.shape == SHAPE
    assert sorted(img.unique().tolist()) == list(range(32))
    assert torch.equal(img, random_image(nn.Sequential(QuantStub(1.0, (0, 31))), SHAPE))


def test_elsewhere_it_is_a_centred_image_divided_by_128():
    for network in (nn.Sequential(QuantStub(1 / 128)), nn.Sequential(QuantStub()), nn.Identity()):
        img = random_image(network, SHAPE)
        assert (img.min(), img.max()) == (-1, 127 / 128)
        assert torch.equal(img * 128, (img * 128).round())
