import pytest
import torch
from torch import nn

from hatlite.engine.optim import build_optimizer, parameter_groups
from hatlite.errors import ConfigError


@pytest.fixture
def model():
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))


def test_a_rule_takes_all_names_that_contain_its_key_batch_norms_included(model):
    decayed, rest = parameter_groups(model, {"weight": {"weight_decay": 4e-5}})
    assert decayed["weight_decay"] == 4e-5
    assert [p is q for p, q in zip(decayed["params"], (model[0].weight, model[1].weight), strict=True)] == [True, True]
    assert [p is q for p, q in zip(rest["params"], (model[0].bias, model[1].bias), strict=True)] == [True, True]


def test_the_first_rule_that_matches_wins(model):
    first, second, rest = parameter_groups(model, {"0.weight": {"lr": 1.0}, "weight": {"lr": 2.0}})
    assert [len(group["params"]) for group in (first, second, rest)] == [1, 1, 2]


def test_frozen_parameters_join_no_group(model):
    model[0].weight.requires_grad_(False)
    (group,) = parameter_groups(model, {})
    assert len(group["params"]) == 3


def test_a_rule_without_effect_is_an_error(model):
    with pytest.raises(ConfigError, match=r"contains 'wieght'; .*\n.*1.weight'.\n  Names look like 0.weight, 0.b"):
        parameter_groups(model, {"wieght": {}})


def test_build_optimizer_leaves_the_config_as_it_was(model):
    cfg = {"type": torch.optim.SGD, "lr": 0.1, "params": {"weight": {"weight_decay": 0.5}}}
    optimizer = build_optimizer(cfg, model)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0]
    assert cfg["params"] == {"weight": {"weight_decay": 0.5}}


@pytest.fixture
def learning():
    """A weight, a learned scale of a site whose own name contains "weight", and a bias."""
    model = nn.Module()
    model.conv = nn.Conv2d(1, 2, 1)
    model.weighted_add = nn.Module()
    model.weighted_add.log_scale = nn.Parameter(torch.zeros(()))
    return model


def test_a_learned_scale_never_decays(learning):
    cfg = {"type": torch.optim.AdamW, "lr": 0.1, "weight_decay": 0.3, "params": {"weight": {"weight_decay": 0.5}}}
    weight, rest, scales = build_optimizer(cfg, learning).param_groups
    assert [group["weight_decay"] for group in (weight, rest, scales)] == [0.5, 0.3, 0.0]
    assert weight["params"][0] is learning.conv.weight and rest["params"][0] is learning.conv.bias
    assert scales["params"][0] is learning.weighted_add.log_scale and scales["lr"] == 0.1
    assert [len(group["params"]) for group in (weight, rest, scales)] == [1, 1, 1]


def test_a_rule_that_names_learned_scales_gives_them_options(learning):
    rules = {"weight": {"weight_decay": 0.5}, "log_scale": {"lr": 3.0}}
    _, scales, _ = parameter_groups(learning, rules)
    assert scales == {"params": [learning.weighted_add.log_scale], "lr": 3.0}
