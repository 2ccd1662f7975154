import copy
import itertools

import pytest
import torch

from hatlite.engine import Callback, Run, Trainer, run_stage
from hatlite.engine.callbacks import FreezeBNStatistics, FreezeModule
from hatlite.engine.checkpoint import load_checkpoint
from hatlite.errors import ConfigError
from hatlite.quantization import QConfig, prepare
from hatlite.registry import OBJECT_REGISTRY

SGD = {"type": torch.optim.SGD, "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}


def states(config, freeze, *, epochs=3):
    """Train and return the state of the model before every epoch and at the end."""
    model = OBJECT_REGISTRY.build(config["model"])
    loader = OBJECT_REGISTRY.build(config["val_data_loader"])
    kept = []
    keeper = Callback()
    keeper.on_epoch_begin = keeper.on_loop_end = lambda loop: kept.append(copy.deepcopy(loop.model.state_dict()))
    Trainer(model, loader, SGD, num_epochs=epochs, callbacks=[freeze, keeper]).fit()
    return kept


def changed(before, after):
    return {name.removeprefix("network.") for name in before if not torch.equal(before[name], after[name])}


CONV_BN = {"conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked"}
HEAD = {"head.weight", "head.bias"}


def test_frozen_modules_stay_as_they_are_in_their_epochs_and_learn_in_the_others(tiny_config):
    kept = states(tiny_config, FreezeModule(["conv", "b*"], start_epoch=1, stop_epoch=2))
    assert [changed(a, b) for a, b in itertools.pairwise(kept)] == [CONV_BN | HEAD, HEAD, CONV_BN | HEAD]


def test_what_is_frozen_from_the_start_learns_as_soon_as_it_may(tiny_config):
    kept = states(tiny_config, FreezeModule(["conv", "bn"], stop_epoch=1))
    assert [changed(a, b) for a, b in itertools.pairwise(kept)] == [HEAD, CONV_BN | HEAD, CONV_BN | HEAD]


def test_without_an_end_they_stay_frozen(tiny_config):
    kept = states(tiny_config, FreezeModule("bn"))
    assert changed(kept[0], kept[-1]) == {"conv.weight"} | HEAD


def test_only_the_batch_norms(tiny_config):
    kept = states(tiny_config, FreezeModule(["*"], only_batchnorm=True))
    assert changed(kept[0], kept[-1]) == {"conv.weight"} | HEAD


def test_what_lies_below_a_module_follows_it(small_network):
    freeze = FreezeModule(["0"])
    loop = Callback()
    loop.model, loop.epoch = torch.nn.Module(), 0
    loop.model.network = small_network
    freeze.on_loop_begin(loop)
    freeze.on_epoch_begin(loop)
    assert [name for name, p in small_network.named_parameters() if not p.requires_grad] == ["0.0.weight", "0.0.bias"]
    assert not small_network[0][1][0].training and small_network[0].training


@pytest.fixture
def small_network():
    inner = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.Sequential(torch.nn.BatchNorm2d(1, affine=False)))
    return torch.nn.Sequential(inner, torch.nn.Conv2d(1, 1, 1))


@pytest.mark.parametrize("stage", ["float", "qat"])
def test_a_frozen_run_resumes_to_the_bit(tiny_config, stage):
    press = {"type": "InterruptAt", "step": 99}
    freeze = {"type": "FreezeModule", "modules": ["conv"], "start_epoch": 1}
    tiny_config[f"{stage}_trainer"] |= {"num_epochs": 2, "callbacks": [freeze, press, {"type": "Checkpoint"}]}
    tiny_config["stage_checkpoint"] = "last"
    for name in ["float", "calibration", "qat"] if stage == "qat" else ["float"]:
        run_stage(Run(tiny_config), name)
    path = Run(tiny_config).checkpoint(stage)
    whole = load_checkpoint(path)["state_dict"]
    press["step"] = 6
    with pytest.raises(KeyboardInterrupt):
        run_stage(Run(tiny_config), stage)
    run_stage(Run(tiny_config), stage, resume=True)
    parts = load_checkpoint(path)["state_dict"]
    assert changed(whole, parts) == set()


def test_a_path_without_a_module_is_told_before_the_first_batch(tiny_config):
    with pytest.raises(ConfigError, match=r"no module of the network is called 'hed'.\n  Did you mean 'head'\?\n  Its"):
        states(tiny_config, FreezeModule(["conv", "hed"]))


def test_freezing_everything_is_refused(tiny_config):
    with pytest.raises(ConfigError, match=r"FreezeModule: modules \['\*'\] are all that learns; leave something"):
        states(tiny_config, FreezeModule(["*"]))


@pytest.mark.parametrize(("start", "stop"), [(-1, None), (2, 2)])
def test_epochs_in_no_order_are_refused(start, stop):
    with pytest.raises(ConfigError, match=f"start_epoch is {start} and stop_epoch {stop}; expected 0 ≤ start_epoch"):
        FreezeModule(["conv"], start, stop)


def test_the_statistics_of_batch_norms_stay_while_all_else_learns(tiny_config):
    kept = states(tiny_config, FreezeBNStatistics())
    assert changed(kept[0], kept[-1]) == {"conv.weight", "bn.weight", "bn.bias"} | HEAD


def test_in_the_qat_stage_their_shadows_stay_too(tiny_config):
    model = OBJECT_REGISTRY.build(tiny_config["model"])
    model.network = prepare(model.network, QConfig(bn="train"), torch.zeros(1, 3, 8, 8))
    loop = Callback()
    loop.model, loop.epoch = model, 0
    model.network.begin_epoch(0, 2)
    shadows = [module for module in model.network.modules() if hasattr(module, "frozen")]
    assert [shadow.frozen for shadow in shadows] == [False]
    FreezeBNStatistics().on_epoch_begin(loop)
    assert [shadow.frozen for shadow in shadows] == [True]
