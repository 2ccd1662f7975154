"""torch's schedules by name and argument, as the toolkit has them, become one of the updaters here.

All count from the end of the warm-up, by epoch. The warm-up itself rises with every step and not only between epochs,
so that the first epoch is not lost to a rate of 0.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hatlite.engine.callbacks import LrUpdater
from hatlite.engine.steps.keys import SCHEDULE_KEYS
from hatlite.engine.steps.places import index_of_type
from hatlite.engine.steps.words import spelt
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY, nearest

__all__ = ["SCHEDULES", "schedule_override"]

SCHEDULES: dict[str, tuple[str, dict[str, str]]] = {
    "StepLR": ("StepDecayLrUpdater", {"step_size": "lr_decay_every", "gamma": "lr_decay_factor"}),
    "MultiStepLR": ("StepDecayLrUpdater", {"milestones": "lr_decay_id", "gamma": "lr_decay_factor"}),
    "CosineAnnealingLR": ("CosineAnnealingLrUpdater", {"t_max": "period", "eta_min": "stop_lr"}),
    "CosineAnnealingWarmRestarts": (
        "CosineRestartsLrUpdater",
        {"t_0": "period", "t_mult": "period_factor", "eta_min": "stop_lr"},
    ),
}
"""Name → type here, and argument → key here. The first argument tells schedules apart."""

OPTIONAL = ("t_max",)
"""First arguments that may be left out; a cosine then ends with the training."""

COMMON = ("warmup_len", "warmup_by", "warmup_mode", "warmup_begin_lr", "step_log_interval", "stage_log_interval")
"""What every updater has, and another one takes over."""


def schedule_override(callbacks: Sequence[Any], stage: str, given: Mapping[str, Any]) -> str | None:
    """Return the override that gives `stage` the schedule of `given`; None if nothing of it is about one.

    Args:
        callbacks: Of the stage's trainer, as the config has them.
        stage: Its name.
        given: Key of the toolkit → value; others than those of a schedule are passed over.

    Raises:
        ConfigError: The keys belong to different schedules, or the schedule lacks what it needs.
    """
    asked = {key: given[key] for key in SCHEDULE_KEYS if key in given}
    if not asked:
        return None
    index = index_of_type(callbacks, LrUpdater)
    before: Mapping[str, Any] = {} if index is None else callbacks[index]
    name = _name(asked, before)
    updater = {key: before[key] for key in COMMON if key in before}
    if name is None:
        if not before:
            raise ConfigError("warmup-epochs needs a schedule, and the config has none; give lr-scheduler too.")
        updater = dict(before)
    else:
        updater |= _fields(name, asked, before)
    if "warmup_epochs" in asked:
        updater |= {"warmup_len": asked["warmup_epochs"], "warmup_by": "epoch"}
    if name == "MultiStepLR" and "milestones" in asked and updater.get("warmup_by", "epoch") == "epoch":
        warmup = updater.get("warmup_len", 0)
        updater["lr_decay_id"] = [warmup + milestone for milestone in asked["milestones"]]
    return f"{stage}_trainer.callbacks.{'+' if index is None else index}={updater!r}"


def _name(asked: Mapping[str, Any], before: Mapping[str, Any]) -> str | None:
    """Return which schedule is meant; None for the one that the config has, of which only the warm-up may change."""
    owners = {next(iter(fields)): name for name, (_, fields) in SCHEDULES.items()}
    told = asked.get("lr_scheduler") or next((owners[key] for key in asked if key in owners), None)
    if told is not None and told not in SCHEDULES:
        hint = nearest(told, list(SCHEDULES))
        raise ConfigError(f"lr-scheduler is {told!r}; expected one of {', '.join(SCHEDULES)}.{hint}")
    name = told or _name_of(before)
    fields = SCHEDULES[name][1] if name else {}
    foreign = next((key for key in asked if key not in (*fields, "lr_scheduler", "warmup_epochs")), None)
    if foreign is not None:
        of = " or ".join(one for one, (_, keys) in SCHEDULES.items() if foreign in keys)
        have = name or before.get("type", "none")
        raise ConfigError(f"{spelt(foreign)} belongs to {of}, and the schedule is {have}; leave one of them out.")
    return name


def _name_of(before: Mapping[str, Any]) -> str | None:
    """Return what the toolkit calls the schedule of the config."""
    if not before:
        return None
    kind = OBJECT_REGISTRY.get(before["type"])
    for name, (updater, fields) in SCHEDULES.items():
        if kind is OBJECT_REGISTRY.get(updater) and (before.get(next(iter(fields.values()))) or name not in STEPS):
            return name
    return None


STEPS = ("StepLR", "MultiStepLR")
"""Schedules of one type here, told apart by their first argument."""


def _fields(name: str, asked: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return type and keys of the schedule `name`: what the config has of it, and what is `asked`."""
    kind, fields = SCHEDULES[name]
    same = bool(before) and OBJECT_REGISTRY.get(before["type"]) is OBJECT_REGISTRY.get(kind)
    first, key = next(iter(fields.items()))
    own = fields.values() if first in asked else (*fields.values(), "update_by")  # what is asked for counts epochs
    kept = {key: before[key] for key in own if same and key in before}
    found = {"type": kind, **kept, **{fields[key]: asked[key] for key in asked if key in fields}}
    if found.get(key) is None and first not in OPTIONAL:
        raise ConfigError(f"lr-scheduler {name} needs {spelt(first)}, and the config has none; give it too.")
    return found
