from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hatlite.engine.callbacks import CosLrUpdater, LrUpdater, StepDecayLrUpdater
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY


def rates(updater, *, epochs, steps_per_epoch, lr=1.0):
    """Return the rate of every step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    loop = SimpleNamespace(
        optimizer=optimizer,
        total_steps=epochs * steps_per_epoch,
        steps_per_epoch=steps_per_epoch,
        epoch=0,
        step=0,
        lr=0,
    )
    updater.on_loop_begin(loop)
    seen = []
    for loop.step in range(epochs * steps_per_epoch):
        loop.epoch = loop.step // steps_per_epoch
        updater.on_step_begin(loop)
        assert optimizer.param_groups[0]["lr"] == loop.lr
        seen.append(loop.lr)
    return seen


def test_cosine_by_hand():
    # one epoch of warm-up: 1/2, 1; then (1 + cos(0, π/4, π/2, 3π/4)) / 2
    expected = [0.5, 1.0, 1.0, 0.853553, 0.5, 0.146447]
    assert rates(CosLrUpdater(warmup_len=1), epochs=3, steps_per_epoch=2) == pytest.approx(expected, abs=1e-6)


def test_cosine_ends_at_stop_lr():
    # 0.2 + 0.8 · (1 + cos(0, π/2)) / 2
    assert rates(CosLrUpdater(stop_lr=0.2), epochs=2, steps_per_epoch=1) == pytest.approx([1.0, 0.6])


def test_warmup_by_step():
    seen = rates(CosLrUpdater(warmup_len=3, warmup_by="step"), epochs=1, steps_per_epoch=5, lr=0.3)
    assert seen[:4] == pytest.approx([0.1, 0.2, 0.3, 0.3])


def test_steps_by_hand():
    seen = rates(StepDecayLrUpdater([1, 3], lr_decay_factor=0.5), epochs=4, steps_per_epoch=1)
    assert seen == [1.0, 0.5, 0.5, 0.25]


def test_decays_counted_in_steps():
    seen = rates(StepDecayLrUpdater([1, 3], lr_decay_factor=0.5, update_by="step"), epochs=2, steps_per_epoch=2)
    assert seen == [1.0, 0.5, 0.5, 0.25]


def test_the_name_of_the_tutorials_prose_warms_up_and_steps():
    updater = OBJECT_REGISTRY.build(
        {"type": "WarmupStepLrUpdater", "lr_decay_id": [2], "warmup_len": 1, "stage_log_interval": 5}
    )
    assert rates(updater, epochs=3, steps_per_epoch=2) == pytest.approx([0.5, 1, 1, 1, 0.1, 0.1])


@given(st.integers(0, 3), st.integers(1, 6), st.integers(1, 5), st.floats(0, 0.5))
def test_cosine_stays_between_its_ends_and_falls_after_the_warmup(warmup, epochs, steps, stop):
    seen = rates(CosLrUpdater(warmup_len=warmup, stop_lr=stop), epochs=epochs, steps_per_epoch=steps)
    after = seen[warmup * steps :]
    assert all(stop <= rate <= 1 for rate in after)
    assert sorted(after, reverse=True) == after


def test_both_names_of_the_log_interval():
    assert CosLrUpdater(step_log_interval=7).step_log_interval == 7
    assert StepDecayLrUpdater([4], stage_log_interval=9).step_log_interval == 9


def test_an_unknown_unit_of_the_warmup_is_refused():
    with pytest.raises(ConfigError, match="CosLrUpdater: warmup_by is 'batch'; expected 'epoch' or 'step'"):
        CosLrUpdater(warmup_by="batch")


def test_an_unknown_unit_of_the_decays_is_refused():
    with pytest.raises(ConfigError, match="StepDecayLrUpdater: update_by is 'day'; expected 'epoch' or 'step'"):
        StepDecayLrUpdater([1], update_by="day")


def test_the_base_class_has_no_schedule():
    with pytest.raises(NotImplementedError):
        rates(LrUpdater(), epochs=1, steps_per_epoch=1)
