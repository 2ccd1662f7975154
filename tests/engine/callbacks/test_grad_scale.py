import copy

import pytest
import torch

from hatlite.engine import MultiBatchProcessor, Trainer
from hatlite.engine.callbacks import ExponentialMovingAverage, GradScale
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY

SGD = {"type": torch.optim.SGD, "lr": 0.1}


def gradients(config, *callbacks, processor=None):
    """Train one step from the same weights and return every parameter's move, which is −0.1 times its gradient."""
    torch.manual_seed(0)
    model = OBJECT_REGISTRY.build(config["model"])
    before = copy.deepcopy(model.state_dict())
    loader = OBJECT_REGISTRY.build(config["val_data_loader"])
    Trainer(model, loader, SGD, processor, callbacks=callbacks, stop_by="step", num_steps=1).fit()
    return {name.removeprefix("network."): p.detach() - before[name] for name, p in model.named_parameters()}


def test_gradients_of_the_named_modules_are_scaled(tiny_config):
    plain = gradients(tiny_config)
    scale = GradScale([("conv", 0.5), ("b*", 0.0), ("head", 2.0), ("head", 2.0)])
    scaled = gradients(tiny_config, scale, ExponentialMovingAverage())
    for name, factor in {"conv": 0.5, "bn": 0.0, "head": 4.0}.items():
        torch.testing.assert_close(scaled[f"{name}.weight"], plain[f"{name}.weight"] * factor, atol=1e-7, rtol=1e-4)
    assert scale.handles == []


def test_clipping_is_the_batch_processors(tiny_config):
    clipped = gradients(tiny_config, GradScale([], clip_grad_norm=1e-3))
    total = torch.cat([move.flatten() for move in clipped.values()]).norm()
    assert float(total) == pytest.approx(1e-4, rel=1e-2)


def test_two_limits_of_the_norm_are_refused(tiny_config):
    with pytest.raises(ConfigError, match="GradScale: clip_grad_norm is 1.0, and the batch processor's is 2.0; leave"):
        gradients(tiny_config, GradScale([], clip_grad_norm=1.0), processor=MultiBatchProcessor(clip_grad_norm=2.0))


def test_a_path_that_leads_nowhere_is_refused(tiny_config):
    with pytest.raises(ConfigError, match="GradScale: no module of the network is called 'hed'.\n  Did you mean 'h"):
        gradients(tiny_config, GradScale([("hed", 0.5)]))


@pytest.mark.parametrize("entry", [("head",), ("head", -1.0), (0.5, 0.5), ("head", float("nan"))])
def test_what_is_no_pair_is_refused(entry):
    with pytest.raises(ConfigError, match=r"GradScale: module_and_scale has the entry .*; expected \(path, scale\)"):
        GradScale([entry])
