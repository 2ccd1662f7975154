"""A command line of the toolkit becomes a run, whose overrides say the same."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hatlite.engine.processes import process
from hatlite.engine.quantize_flag import run_to_train
from hatlite.engine.run import Run, Stage
from hatlite.engine.steps.checkpoint_path import checkpoint_override, find_checkpoint
from hatlite.engine.steps.keys import SCHEDULE_KEYS, known_key
from hatlite.engine.steps.places import find_place, index_of_type, value_at
from hatlite.engine.steps.schedule import schedule_override
from hatlite.engine.steps.stages import CALIBRATION, KINDS, stage_of_step
from hatlite.engine.steps.words import read_value, spelt
from hatlite.engine.validate import load_run
from hatlite.errors import ConfigError, LaunchError, StageError
from hatlite.log import get_logger
from hatlite.overrides import parse_value

__all__ = ["read_given", "step_overrides", "step_run", "step_to_evaluate"]

logger = get_logger(__name__)

START = ("checkpoint_path", "edit_gain")
"""Keys that say what a stage starts from."""

SHARED = ("batch_size", "num_workers")
"""Keys whose value all processes, or those of a node, share."""


def step_run(
    source: str,
    step: int,
    words: Mapping[str, str],
    *,
    opts: Sequence[str] = (),
    device: str | None = None,
    flags: Sequence[str] = (),
    calibrate: bool = False,
    finetune: int | None = None,
    processes: tuple[int, int] | None = None,
) -> tuple[Run, str]:
    """Return the run of a config and the name of the stage that is `step`, with what the command line says overridden.

    Args:
        source: The config file.
        step: 1…4.
        words: From :func:`hatlite.engine.steps.words.read_words`.
        opts: Overrides in the config's own words, which come last.
        device, flags: As for :meth:`Run.load`.
        calibrate: ``--cal``: the calibration behind step 2.
        finetune: Epochs in which the backbone, that is all convolutions but the last, keeps its weights.
        processes: Count of all, and of those on this node; None counts those that have joined.

    Raises:
        ConfigError: The config, an override or a value cannot be used; of several all are told.
        CheckpointError, StageError: The run has no such stage, or there is nothing to start from.
        LaunchError: There are more processes than images in a batch.
    """
    if calibrate and step != 2:
        raise StageError(f"--cal is the calibration behind step 2, and --step is {step}; write --step 2 --cal.")
    given = read_given(words)
    run = Run.load(source, opts, device, flags)
    stage = stage_of_step(run, CALIBRATION if calibrate else step)
    run = Run.load(source, opts, device, flags, stage=stage.name)  # a config may ask which stage runs
    joined = processes or (process()[1], int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    said = step_overrides(run, stage, given, processes=joined)
    if finetune is not None:
        said.append(_freeze(run, stage, finetune))
    _check_edit(stage, given)
    if "checkpoint_path" in given:
        run = Run.load(source, [*said, *opts], device, flags, stage=stage.name)  # its folder may be another one by now
        start = checkpoint_override(run, stage, given["checkpoint_path"], given.get("edit_gain"))
        said += [start] if start else []
    run, name = run_to_train(source, [*said, *opts], device, flags, stage=stage.name)
    logger.info("Step %s is: %s", f"{step} --cal" if calibrate else step, run.command(name))
    return run, name


def step_to_evaluate(
    source: str, step: int, checkpoint: str | None = None, *, opts: Sequence[str] = (), device: str | None = None
) -> tuple[Run, str, Path | None]:
    """Return the run of a config, the name of the stage that is `step`, and the file that `checkpoint` stands for.

    Args:
        source, opts, device: As for :meth:`Run.load`.
        step: 1…4.
        checkpoint: A file, or ``checkpoint/stepN/best.pth``; None is what the stage has left, and so is the returned
            None.

    Raises:
        ConfigError: The config or an override cannot be used.
        CheckpointError, StageError: There is nothing to evaluate.
    """
    run = load_run(source, opts, device)
    stage = stage_of_step(run, step)
    run = load_run(source, opts, device, stage=stage.name)  # a config may ask which stage runs
    if checkpoint is None:
        return run, stage.name, None
    path = find_checkpoint(run, checkpoint)
    if path is None:
        raise StageError(f"-p {checkpoint}: step 0 is where nothing has been trained yet; name another file.")
    return run, stage.name, path


def read_given(words: Mapping[str, str]) -> dict[str, Any]:
    """Return key → value of what stands behind the flags.

    Raises:
        ConfigError: Keys that are unknown or no matter of training, and values that are of another kind, all together.
    """
    given, problems = {}, []
    for key, text in words.items():
        try:
            given[key] = read_value(key, text, known_key(key).takes)
        except ConfigError as problem:
            problems.append(problem)
    if problems:
        raise ConfigError.together(problems, "the command line")
    return given


def step_overrides(
    run: Run, stage: Stage, given: Mapping[str, Any], *, processes: tuple[int, int] = (1, 1)
) -> list[str]:
    """Return the overrides, ``key.path=value``, that say to `run` what `given` says; without ``START``.

    Args:
        run: As it is without them.
        stage: Which is going to run.
        given: Key → value.
        processes: Count of all, and of those on this node; the config's own batch size is shared too.

    Raises:
        ConfigError: The config has no place for a value.
        LaunchError: There are more processes than images in a batch.
    """
    if stage.kind == KINDS[CALIBRATION]:
        idle = next((key for key in given if known_key(key).trains and key != "checkpoint_path"), None)
        if idle is not None:
            raise ConfigError(f"{spelt(idle)} has nothing to do: --cal trains nothing; leave it out.")
    said = []
    for key, value in given.items():
        if key not in (*SCHEDULE_KEYS, *SHARED, *START):
            place = _place(run, stage, key)
            here = (
                _decay(run, stage, value) if key == "weight_decay" else _here(key, value, value_at(run.config, place))
            )
            said.append(f"{place}={_spelt_value(here)}")
    trainer = run.config.get(f"{stage.name}_trainer", {})
    schedule = schedule_override(trainer.get("callbacks") or (), stage.name, given)
    said += [schedule] if schedule else []
    for key, count in zip(SHARED, processes, strict=True):
        if key in given or count > 1:
            said += _shares(run, stage, key, given.get(key), count)
    return said


def _check_edit(stage: Stage, given: Mapping[str, Any]) -> None:
    """Refuse an ``edit-gain`` that contradicts the step."""
    edit = given.get("edit_gain")
    if edit and stage.kind != KINDS[4]:
        raise ConfigError("edit-gain is of step 4, which edits gains once without being asked; leave it out.")
    if edit is False and stage.kind == KINDS[4] and "checkpoint_path" not in given:
        raise ConfigError(
            "edit-gain is false, and step 4 starts from step 3, whose gains are not edited yet; leave edit-gain out, or"
            " give checkpoint-path a checkpoint of step 4."
        )


def _place(run: Run, stage: Stage, key: str) -> str:
    paths = known_key(key).paths
    found = find_place(run.config, paths, stage.name)
    if found is None:
        named = " or ".join(path.format(stage=stage.name) for path in paths)
        raise ConfigError(f"{spelt(key)} is {named} in a config, and {run.source} has no such place.", path=paths[0])
    return found


def _here(key: str, value: Any, before: Any) -> Any:
    """Return `value` as a config has it, which has `before` there."""
    if key == "image_size" and isinstance(before, (tuple, list)):
        return (value, value)
    return value


def _spelt_value(value: Any) -> str:
    """Return what an override says to mean `value`: a text stands as it is where it is read as itself."""
    return value if isinstance(value, str) and parse_value(value) == value else repr(value)


def _decay(run: Run, stage: Stage, value: float) -> float:
    """Return what the optimizer of `stage` calls a decay of `value`, the factor of the sum of all squares.

    Raises:
        ConfigError: The optimizer has rules of its own for other parameters than all weights.
    """
    optimizer = run.config[f"{stage.name}_trainer"]["optimizer"]
    rules = [name for name, options in (optimizer.get("params") or {}).items() if "weight_decay" in options]
    if rules and rules != ["weight"]:
        raise ConfigError(
            f"weight-decay is one number, and {stage.name}_trainer.optimizer.params in {run.source} has rules of its"
            f" own for {', '.join(rules)}; set each by --opts"
            f" {stage.name}_trainer.optimizer.params.{rules[0]}.weight_decay={value:g}."
        )
    return 2 * value if index_of_type([optimizer], torch.optim.SGD) == 0 else value


def _shares(run: Run, stage: Stage, key: str, value: Any, count: int) -> list[str]:
    """Return the override that gives each of `count` processes its share of `value`, or of what the config has."""
    place = find_place(run.config, known_key(key).paths, stage.name)
    if place is None and value is None:
        return []
    place = place or _place(run, stage, key)
    whole = value_at(run.config, place) if value is None else value
    if not isinstance(whole, int) or isinstance(whole, bool):
        return []  # validation tells
    if key == "batch_size" and whole < count:
        raise LaunchError(
            f"batch-size is {whole}, of all processes together, and there are {count}; give {count} or more, or start"
            " fewer."
        )
    share = whole // count
    if key == "batch_size" and share * count != whole:
        logger.info("batch-size %d among %d processes: %d each, %d together.", whole, count, share, share * count)
    return [f"{place}={share}"]


def _freeze(run: Run, stage: Stage, epochs: int) -> str:
    """Return the override that keeps the backbone as it is for the first `epochs`."""
    if stage.kind == KINDS[CALIBRATION]:
        raise ConfigError("--finetune has nothing to do: --cal trains nothing; leave it out.")
    key = f"{stage.name}_trainer.callbacks"
    frozen = {"type": "FreezeModule", "modules": ["backbone"], "stop_epoch": epochs}
    if find_place(run.config, (key,), stage.name) is None:
        return f"{key}={[frozen]!r}"
    return f"{key}.+={frozen!r}"
