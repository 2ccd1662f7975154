import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hatlite.engine.callbacks import ExponentialMovingAverage
from hatlite.errors import ConfigError


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0]))
        self.bn = nn.BatchNorm1d(1)
        self.register_buffer("scale", torch.tensor(1.0))


def test_the_decay_rises_over_the_ramp():
    average = ExponentialMovingAverage()
    assert average.decay_at(0) == 0
    assert average.decay_at(2000) == pytest.approx(0.9999 * (1 - math.exp(-1)))
    assert average.decay_at(10**6) == pytest.approx(0.9999)


def test_two_updates_by_hand():
    callback = ExponentialMovingAverage(decay=0.5, ramp=1e-9)  # without a ramp: d = 0.5 from the first step
    loop = SimpleNamespace(model=Model(), step=0)
    callback.on_loop_begin(loop)
    for loop.step in (1, 2):
        with torch.no_grad():
            loop.model.w += 2
            loop.model.bn.running_mean += 4
            loop.model.bn.num_batches_tracked += 1
            loop.model.scale += 8
        callback.on_step_end(loop)
    average = loop.evaluation_model
    assert average.w.item() == 3.5  # (1 + 3) / 2 = 2, (2 + 5) / 2
    assert average.bn.running_mean.item() == 5.0  # (0 + 4) / 2 = 2, (2 + 8) / 2
    assert average.bn.num_batches_tracked.item() == 2
    assert average.scale.item() == 17.0  # a scale is copied
    assert not average.training
    assert not average.w.requires_grad


@pytest.mark.parametrize(("decay", "ramp"), [(1.0, 2000), (-0.1, 2000), (0.9, 0)])
def test_a_decay_or_ramp_out_of_range_is_refused(decay, ramp):
    with pytest.raises(ConfigError, match=r"ExponentialMovingAverage: decay is .* and ramp .*; expected 0 ≤ decay < 1"):
        ExponentialMovingAverage(decay, ramp)
