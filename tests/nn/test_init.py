"""Initial weights have the spread that was asked for."""

import math

import pytest
import torch
from torch import nn

from hatlite.nn.init import init_he, init_normal, prior_bias


def test_prior_bias_is_the_logit():
    assert prior_bias(0.01) == pytest.approx(-4.59511985)
    assert prior_bias(0.5) == 0.0


def test_he_keeps_the_spread_of_depthwise_and_dense():
    torch.manual_seed(0)
    depthwise, dense, linear = nn.Conv2d(512, 512, 3, groups=512), nn.Conv2d(64, 128, 3), nn.Linear(100, 100)
    init_he(nn.Sequential(depthwise, dense, linear))
    assert depthwise.weight.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.05)
    assert dense.weight.std().item() == pytest.approx(math.sqrt(2 / (128 * 9)), rel=0.05)
    assert linear.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not depthwise.bias.any()


def test_normal_sets_the_bias_where_there_is_one():
    layer = nn.Conv2d(2, 3, 1)
    init_normal(layer, 0.01, bias=1.5)
    assert layer.bias.tolist() == [1.5] * 3
    without = nn.Conv2d(64, 64, 3, bias=False)
    init_normal(without, 0.5)
    assert without.weight.std().item() == pytest.approx(0.5, rel=0.05)
