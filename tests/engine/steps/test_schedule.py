import re

import pytest

from hatlite.engine.callbacks import LrUpdater
from hatlite.engine.steps.schedule import schedule_override
from hatlite.errors import ConfigError
from hatlite.overrides import Override
from hatlite.registry import OBJECT_REGISTRY

STEPS = {"type": "StepDecayLrUpdater", "lr_decay_every": 20, "lr_decay_factor": 0.75, "warmup_len": 2}
LISTED = {"type": "StepDecayLrUpdater", "lr_decay_id": [3], "update_by": "step"}
COSINE = {"type": "CosLrUpdater", "stop_lr": 1e-5, "warmup_len": 100, "warmup_by": "step"}


def updater(before, **given):
    """Return what stands in the config afterwards; it must be something that an updater can be built of."""
    callbacks = [{"type": "Checkpoint"}, *([before] if before else [])]
    override = Override.parse(schedule_override(callbacks, "qat", given))
    assert override.keys == ("qat_trainer", "callbacks", "1" if before else "+")
    assert isinstance(OBJECT_REGISTRY.build(override.value), LrUpdater)
    return override.value


def test_nothing_about_a_schedule_changes_none():
    assert schedule_override([STEPS], "qat", {"learning_rate": 1.0}) is None


@pytest.mark.parametrize(
    ("before", "given", "after"),
    [
        (
            STEPS,
            {"step_size": 400, "gamma": 0.1, "warmup_epochs": 100},
            {**STEPS, "lr_decay_every": 400, "lr_decay_factor": 0.1, "warmup_len": 100, "warmup_by": "epoch"},
        ),
        (STEPS, {"gamma": 0.5}, {**STEPS, "lr_decay_factor": 0.5}),
        (LISTED, {"gamma": 0.5}, {**LISTED, "lr_decay_factor": 0.5}),
        (LISTED, {"step_size": 4}, {"type": "StepDecayLrUpdater", "lr_decay_every": 4}),
        (
            STEPS,
            {"milestones": [16, 20]},
            {"type": "StepDecayLrUpdater", "lr_decay_id": [18, 22], "lr_decay_factor": 0.75, "warmup_len": 2},
        ),
        (COSINE, {"warmup_epochs": 3}, {**COSINE, "warmup_len": 3, "warmup_by": "epoch"}),
        (
            COSINE,
            {"step_size": 4},
            {"type": "StepDecayLrUpdater", "lr_decay_every": 4, "warmup_len": 100, "warmup_by": "step"},
        ),
        (STEPS, {"lr_scheduler": "CosineAnnealingLR"}, {"type": "CosineAnnealingLrUpdater", "warmup_len": 2}),
        (
            STEPS,
            {"t_max": 9, "eta_min": 1e-6},
            {"type": "CosineAnnealingLrUpdater", "warmup_len": 2, "period": 9, "stop_lr": 1e-6},
        ),
        (
            None,
            {"lr_scheduler": "CosineAnnealingWarmRestarts", "t_0": 5, "t_mult": 2},
            {"type": "CosineRestartsLrUpdater", "period": 5, "period_factor": 2},
        ),
    ],
)
def test_schedules(before, given, after):
    assert updater(before, **given) == after


def test_a_gamma_of_the_toolkit_decays_as_its_formula_says():
    """lr · gamma ** floor((e − W) / step_size) from epoch W on."""
    built = OBJECT_REGISTRY.build(updater(STEPS, step_size=3, gamma=0.5, warmup_epochs=2))

    class Loop:
        steps_per_epoch = 4

    for epoch in range(2, 12):
        Loop.step = epoch * 4 + 3
        assert built.rate(1.0, Loop, 8) == 0.5 ** ((epoch - 2) // 3)


@pytest.mark.parametrize(
    ("before", "given", "said"),
    [
        (STEPS, {"lr_scheduler": "StepLr"}, "lr-scheduler is 'StepLr'; expected one of StepLR, MultiStepLR, Cosine"),
        (STEPS, {"t_max": 9, "step_size": 3}, "t-max belongs to CosineAnnealingLR, and the schedule is StepLR; leave"),
        (STEPS, {"lr_scheduler": "CosineAnnealingLR", "gamma": 1.0}, "gamma belongs to StepLR or MultiStepLR, and the"),
        (COSINE, {"gamma": 0.5}, "gamma belongs to StepLR or MultiStepLR, and the schedule is CosLrUpdater; leave one"),
        (None, {"gamma": 0.5}, "gamma belongs to StepLR or MultiStepLR, and the schedule is none; leave one of them"),
        (COSINE, {"lr_scheduler": "StepLR"}, "lr-scheduler StepLR needs step-size, and the config has none; give it"),
        (None, {"warmup_epochs": 3}, "warmup-epochs needs a schedule, and the config has none; give lr-scheduler too."),
    ],
)
def test_what_makes_no_schedule_is_refused(before, given, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        updater(before, **given)
