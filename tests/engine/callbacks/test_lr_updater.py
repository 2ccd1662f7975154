import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hatlite.engine.callbacks import CosLrUpdater, LrUpdater, StepDecayLrUpdater
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY


def test_cosine_by_hand(rates):
    # one epoch of warm-up: 1/2, 1; then (1 + cos(0, π/4, π/2, 3π/4)) / 2
    expected = [0.5, 1.0, 1.0, 0.853553, 0.5, 0.146447]
    assert rates(CosLrUpdater(warmup_len=1), epochs=3, steps_per_epoch=2) == pytest.approx(expected, abs=1e-6)


def test_cosine_ends_at_stop_lr(rates):
    # 0.2 + 0.8 · (1 + cos(0, π/2)) / 2
    assert rates(CosLrUpdater(stop_lr=0.2), epochs=2, steps_per_epoch=1) == pytest.approx([1.0, 0.6])


def test_warmup_by_step(rates):
    seen = rates(CosLrUpdater(warmup_len=3, warmup_by="step"), epochs=1, steps_per_epoch=5, lr=0.3)
    assert seen[:4] == pytest.approx([0.1, 0.2, 0.3, 0.3])


def test_steps_by_hand(rates):
    seen = rates(StepDecayLrUpdater([1, 3], lr_decay_factor=0.5), epochs=4, steps_per_epoch=1)
    assert seen == [1.0, 0.5, 0.5, 0.25]


def test_decays_counted_in_steps(rates):
    seen = rates(StepDecayLrUpdater([1, 3], lr_decay_factor=0.5, update_by="step"), epochs=2, steps_per_epoch=2)
    assert seen == [1.0, 0.5, 0.5, 0.25]


def test_decays_that_come_again_and_again_count_from_the_end_of_the_warm_up(rates):
    updater = StepDecayLrUpdater(lr_decay_every=2, lr_decay_factor=0.5, warmup_len=1)
    assert rates(updater, epochs=7, steps_per_epoch=1) == [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    updater = StepDecayLrUpdater(lr_decay_every=3, lr_decay_factor=0.5, update_by="step")
    assert rates(updater, epochs=2, steps_per_epoch=2) == [1.0, 1.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"lr_decay_every": 0}, "lr_decay_every is 0; expected 1 epoch or step, or more, or None"),
        ({"lr_decay_every": 2, "lr_decay_id": [4]}, "lr_decay_id is .4.; expected when to decay, such as"),
        ({}, "lr_decay_id is None; expected when to decay, such as .16, 20., or None and lr_decay_every"),
    ],
)
def test_decays_that_contradict_each_other_are_refused(keys, said):
    with pytest.raises(ConfigError, match=f"StepDecayLrUpdater: {said}"):
        StepDecayLrUpdater(**keys)


def test_the_name_of_the_tutorials_prose_warms_up_and_steps(rates):
    updater = OBJECT_REGISTRY.build(
        {"type": "WarmupStepLrUpdater", "lr_decay_id": [2], "warmup_len": 1, "stage_log_interval": 5}
    )
    assert rates(updater, epochs=3, steps_per_epoch=2) == pytest.approx([0.5, 1, 1, 1, 0.1, 0.1])


@given(st.integers(0, 3), st.integers(1, 6), st.integers(1, 5), st.floats(0, 0.5))
def test_cosine_stays_between_its_ends_and_falls_after_the_warmup(rates, warmup, epochs, steps, stop):
    seen = rates(CosLrUpdater(warmup_len=warmup, stop_lr=stop), epochs=epochs, steps_per_epoch=steps)
    after = seen[warmup * steps :]
    assert all(stop <= rate <= 1 for rate in after)
    assert sorted(after, reverse=True) == after


def test_the_warmup_begins_where_it_is_told_to(rates):
    # 0.2 + 0.8 · (1/2, 1)
    seen = rates(CosLrUpdater(warmup_len=1, warmup_begin_lr=0.2), epochs=2, steps_per_epoch=2)
    assert seen[:2] == pytest.approx([0.6, 1.0])


def test_a_constant_warmup(rates):
    updater = CosLrUpdater(warmup_len=2, warmup_by="step", warmup_mode="constant", warmup_begin_lr=0.25)
    assert rates(updater, epochs=1, steps_per_epoch=3) == [0.25, 0.25, 1.0]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"warmup_by": "batch"}, "CosLrUpdater: warmup_by is 'batch'; expected 'epoch' or 'step'."),
        ({"warmup_mode": "exp"}, "CosLrUpdater: warmup_mode is 'exp'; expected 'linear' or 'constant'."),
        ({"warmup_len": -1}, "CosLrUpdater: warmup_len is -1; expected 0 or more."),
        ({"warmup_begin_lr": -0.1}, "CosLrUpdater: warmup_begin_lr is -0.1; expected 0 or above."),
        ({"step_log_interval": 0}, "CosLrUpdater: step_log_interval is 0; expected 1 step or more."),
        (
            {"warmup_mode": "constant", "warmup_len": 1},
            "CosLrUpdater: warmup_begin_lr is 0.0; expected a rate above 0 with warmup_mode='constant'.",
        ),
    ],
)
def test_what_cannot_warm_up_is_refused(keys, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        CosLrUpdater(**keys)


def test_where_nothing_is_trained_there_is_no_rate():
    with pytest.raises(
        ConfigError, match="CosLrUpdater is among the callbacks of a object, which has no learning rate"
    ):
        CosLrUpdater().on_loop_begin(object())


def test_both_names_of_the_log_interval():
    assert CosLrUpdater(step_log_interval=7).step_log_interval == 7
    assert StepDecayLrUpdater([4], stage_log_interval=9).step_log_interval == 9


def test_an_unknown_unit_of_the_decays_is_refused():
    with pytest.raises(ConfigError, match="StepDecayLrUpdater: update_by is 'day'; expected 'epoch' or 'step'"):
        StepDecayLrUpdater([1], update_by="day")


def test_the_base_class_has_no_schedule(rates):
    with pytest.raises(NotImplementedError):
        rates(LrUpdater(), epochs=1, steps_per_epoch=1)
