"""DropPath drops whole samples while training and nothing afterwards."""

import torch
from torch import nn

from hatlite.nn.drop_path import DropPath


def test_is_the_identity_in_eval():
    layer, x = DropPath(0.9).eval(), torch.ones(4, 1, 1, 1)
    assert layer(x) is x
    assert isinstance(layer, nn.Identity)
    assert repr(layer) == "DropPath(rate=0.9)"


def test_samples_vanish_or_grow_and_the_mean_stays():
    torch.manual_seed(0)
    y = DropPath(0.25)(torch.ones(4000, 2, 1, 1))
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert torch.equal(y[:, 0], y[:, 1])
    assert abs(y.mean().item() - 1.0) < 0.05
