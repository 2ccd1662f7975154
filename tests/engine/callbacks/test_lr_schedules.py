import re

import pytest

from hatlite.engine.callbacks import (
    CosineAnnealingLrUpdater,
    CosineRestartsLrUpdater,
    CyclicLrUpdater,
    NoamLrUpdater,
    OneCycleUpdater,
    PolyLrUpdater,
)
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY


def test_polynomials_by_hand(rates):
    assert rates(PolyLrUpdater(power=2.0), epochs=4, steps_per_epoch=1) == pytest.approx([1, 9 / 16, 1 / 4, 1 / 16])
    seen = rates(PolyLrUpdater(max_update=3, stop_lr=0.1, warmup_len=1), epochs=5, steps_per_epoch=1)
    assert seen == pytest.approx([1.0, 1.0, 0.55, 0.1, 0.1])


def test_annealing_has_one_rate_for_an_epoch(rates):
    # epoch 0 warms up; then (1 + cos(0, π/2)) / 2
    seen = rates(CosineAnnealingLrUpdater(warmup_len=1), epochs=3, steps_per_epoch=2)
    assert seen == pytest.approx([0.5, 1.0, 1.0, 1.0, 0.5, 0.5])


def test_annealing_after_a_warmup_inside_the_first_epoch_starts_at_the_initial_rate(rates):
    updater = CosineAnnealingLrUpdater(warmup_len=1, warmup_by="step", stop_lr=0.5)
    assert rates(updater, epochs=1, steps_per_epoch=2) == [1.0, 1.0]


def test_annealing_with_a_period_rises_again_behind_it(rates):
    # epoch 0 warms up; then (1 + cos(0, π/2, π, 3π/2)) / 2
    seen = rates(CosineAnnealingLrUpdater(warmup_len=1, period=2), epochs=5, steps_per_epoch=1)
    assert seen == pytest.approx([1.0, 1.0, 0.5, 0.0, 0.5])


def test_annealing_starts_anew_after_cycles_that_grow(rates):
    # epoch 0 warms up; a cycle of one epoch, of two, of four: 0.2 + 0.8 · (1 + cos(π · share)) / 2
    seen = rates(CosineRestartsLrUpdater(1, period_factor=2, stop_lr=0.2, warmup_len=1), epochs=6, steps_per_epoch=1)
    assert seen == pytest.approx([1.0, 1.0, 1.0, 0.6, 1.0, 0.6 + 0.4 * 2**-0.5])


def test_a_cycle_by_hand(rates):
    # up 1 → 3 within two steps, then 3 → 0.5 within two; twice
    updater = CyclicLrUpdater(target_ratio=(3.0, 0.5), cyclic_times=2, step_ratio_up=0.5)
    assert rates(updater, epochs=2, steps_per_epoch=4) == pytest.approx([1, 2, 3, 1.75] * 2)


def test_one_cycle_by_hand(rates):
    seen = rates(OneCycleUpdater(0.4, div_factor=4.0, pct_start=0.5), epochs=1, steps_per_epoch=4, lr=7.0)
    assert seen == pytest.approx([0.1, 0.25, 0.4, (0.4 + 1e-5) / 2])


def test_noam_by_hand(rates):
    seen = rates(NoamLrUpdater(warmup_len=2, warmup_by="step"), epochs=1, steps_per_epoch=8)
    assert seen == pytest.approx([0.5, 1.0, *((2 / n) ** 0.5 for n in range(3, 9))])


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"type": "PolyLrUpdater", "power": 0.0}, "power is 0.0; expected a number above 0"),
        ({"type": "PolyLrUpdater", "max_update": 0}, "max_update is 0; expected a step above 0, or None"),
        ({"type": "CyclicLrUpdater", "target_ratio": [1.0]}, "target_ratio is [1.0]; expected (highest, lowest)"),
        ({"type": "CyclicLrUpdater", "cyclic_times": 0}, "cyclic_times is 0; expected 1 cycle or more"),
        ({"type": "CyclicLrUpdater", "step_ratio_up": 1.0}, "step_ratio_up is 1.0; expected a number between 0 and 1"),
        ({"type": "OneCycleUpdater", "lr_max": 0.0}, "lr_max is 0.0; expected a rate above 0"),
        ({"type": "OneCycleUpdater", "lr_max": 1.0, "div_factor": 0.0}, "div_factor is 0.0; expected a number above 0"),
        ({"type": "OneCycleUpdater", "lr_max": 1.0, "pct_start": 0.0}, "pct_start is 0.0; expected a number between"),
        ({"type": "CosineAnnealingLrUpdater", "period": 0}, "period is 0; expected 1 epoch or more, or None"),
        ({"type": "CosineRestartsLrUpdater", "period": 0}, "period is 0; expected 1 epoch or more"),
        ({"type": "CosineRestartsLrUpdater", "period": 1, "period_factor": 0}, "period_factor is 0; expected 1 or"),
        ({"type": "NoamLrUpdater"}, "warmup_len is 0; expected 1 or more, from which the fall is measured"),
    ],
)
def test_what_makes_no_schedule_is_refused(keys, said):
    with pytest.raises(ConfigError, match=re.escape(f"{keys['type']}: {said}")):
        OBJECT_REGISTRY.build(keys)
