"""``checkpoint-path``: a file, or the place where the toolkit leaves that of a step, which is the run's own here."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hatlite.engine.checkpoint import SITES, deployed_weights, has_sites, is_checkpoint, load_checkpoint, read_tensors
from hatlite.engine.kinds import STAGE_KINDS, pipeline_of, start_file
from hatlite.engine.run import Run, Stage
from hatlite.engine.steps.places import find_place
from hatlite.engine.steps.stages import CALIBRATION, KINDS, stage_of_step
from hatlite.engine.weights_hash import calibration_of, lacks_ranges
from hatlite.errors import CheckpointError, StageError
from hatlite.log import get_logger

__all__ = ["checkpoint_override", "find_checkpoint"]

logger = get_logger(__name__)

TOOLKITS = re.compile(r"(?:.*/)?step(\d)/(cal-)?(best|last|fused)\.pth$")
"""Where the toolkit leaves the checkpoints of a step; the one with folded batch norms is not needed here, for step 2
folds them itself."""

PRETRAINED = ("pretrained", "model.pretrained")
"""Where a config names weights that are no checkpoint of a stage."""


EDIT = {"type": "EditGain"}


def find_checkpoint(run: Run, text: str) -> Path | None:
    """Return the file that `text` stands for; None for that of step 0, which is where nothing has been trained yet.

    Args:
        run: Has the folder of the steps' checkpoints.
        text: A file; or ``checkpoint/step2/best.pth``, ``checkpoint/step2/cal-best.pth`` and their like.

    Raises:
        CheckpointError: There is no such file.
        StageError: The step has left none; the message holds the command that makes it.
    """
    if Path(text).is_file():
        return Path(text)
    match = TOOLKITS.match(text.replace("\\", "/"))
    if match is None:
        raise CheckpointError(
            f"checkpoint-path {text}: there is no such file; checkpoint/step1/best.pth and its like stand for what step"
            f" 1 … left in {run.folder}."
        )
    number, calibrated, which = int(match[1]), bool(match[2]), match[3].replace("fused", "best")
    if number == 0:
        return None
    stage = stage_of_step(run, CALIBRATION if calibrated else number)
    path = run.checkpoint(stage.name, which)
    if not path.is_file():
        raise StageError(
            f"checkpoint-path {text} stands for {path}, which does not exist.\n  Run this first:"
            f" {run.command(stage.name)}"
        )
    return path


def checkpoint_override(run: Run, stage: Stage, text: str, edit: bool | None = None) -> str | None:
    """Return the override that lets `stage` start from what `text` stands for; None if it does so anyway.

    Step 4 edits the gains of what has not been through it, and goes on from what has.

    Args:
        run, stage: What is going to run.
        text: As for :func:`find_checkpoint`.
        edit: Whether ``edit-gain`` asks for the edit; None where nothing is said.

    Raises:
        CheckpointError, StageError: There is nothing to start from, or `stage` has no place for a file.
    """
    path = find_checkpoint(run, text)
    if path is None:
        _start_from_nothing(run, stage, text)
        return None
    if edit is not False and _is_own_start(run, stage, path):
        return None
    if STAGE_KINDS[stage.kind].from_nothing and not is_checkpoint(read_tensors(path)):  # weights of another toolkit
        return f"{find_place(run.config, PRETRAINED, stage.name) or PRETRAINED[-1]}={str(path)!r}"
    if stage.kind == KINDS[3]:
        _require_ranges(run, stage, path)
    key = f"{stage.name}_trainer.model_convert_pipeline"
    given = run.config.get(f"{stage.name}_trainer", {}).get("model_convert_pipeline")
    if given is not None:
        return f"{key}.converters.{_loader(stage, given['converters'])}.checkpoint_path={str(path)!r}"
    converters: list[dict[str, Any]] = [_as_dict(one) for one in STAGE_KINDS[stage.kind].start]
    converters[_loader(stage, converters)]["checkpoint_path"] = str(path)
    if EDIT in converters and not _edits(path, edit):
        converters.remove(EDIT)
    return f"{key}={ {'type': 'ModelConvertPipeline', 'converters': converters}!r}"


def _edits(path: Path, asked: bool | None) -> bool:
    """Return whether the gains of `path` are to be edited: they are once, and asking changes nothing of that."""
    weights = deployed_weights(load_checkpoint(path))
    caps = [value for name, value in weights.items() if name.startswith(SITES) and name.endswith(".cap")]
    edited = any(not bool(torch.isnan(cap)) for cap in caps)
    if edited and asked:
        raise StageError(
            f"edit-gain asks for a second gain edit: the gains of {path} were edited before; leave edit-gain out."
        )
    if not edited and asked is False:
        raise StageError(
            f"edit-gain is false, and the gains of {path} were not edited yet, which the chip's integers need; leave"
            " edit-gain out."
        )
    if edited:
        logger.info("The gains of %s were edited before; step 4 goes on without another edit.", path)
    return not edited


def _require_ranges(run: Run, stage: Stage, path: Path) -> None:
    """Refuse a checkpoint without the ranges that step 3 needs, unless its calibration lies where it is looked for."""
    state = load_checkpoint(path)
    if not has_sites(state):
        raise StageError(
            f"checkpoint-path {path} is of stage {state['stage']!r}, whose weights are not rounded yet, and step 3"
            f" starts behind step 2.\n  Run step 2 first: {_steps_line(run, stage, path, '--step', '2')}"
        )
    if lacks_ranges(state) and calibration_of(run, path, state) is None:
        raise StageError(
            f"checkpoint-path {path} has no ranges of activations, which step 3 needs, and no calibration of its"
            f" weights lies in {run.folder} or beside it.\n  Run this to find them:"
            f" {_steps_line(run, stage, path, '--step', '2', '--cal')}"
        )


def _steps_line(run: Run, stage: Stage, path: Path, *flags: str) -> str:
    """Return the command line that does another step from `path`, with those options that are not of `stage` alone."""
    words = ["python", "tools/train-dist.py", *flags, "--config", run.source, "checkpoint-path", str(path)]
    opts = [text for text in run.opts if not text.startswith(f"{stage.name}_trainer.")]
    device = [] if run.device is None else ["--device", str(run.device)]
    return shlex.join([*words, *device, *(["--opts", *opts] if opts else [])])


def _start_from_nothing(run: Run, stage: Stage, text: str) -> None:
    if not STAGE_KINDS[stage.kind].from_nothing:
        raise StageError(
            f"checkpoint-path {text} does not exist, and stage {stage.name!r} cannot start from nothing; name the"
            " checkpoint of the step before it, or leave checkpoint-path out to take the run's own."
        )
    pretrained = run.config.get("model", {}).get("pretrained")
    logger.info("%s does not exist: stage %r starts from %s.", text, stage.name, pretrained or "random weights")


def _is_own_start(run: Run, stage: Stage, path: Path) -> bool:
    """Return whether `stage` starts from `path` without being told."""
    try:
        own = start_file(run, stage, pipeline_of(run, stage, "trainer"))
    except StageError:  # nothing is there yet
        return False
    return own is not None and own.resolve() == path.resolve()


def _as_dict(converter: str | Mapping[str, Any]) -> dict[str, Any]:
    return {"type": converter} if isinstance(converter, str) else dict(converter)


def _loader(stage: Stage, converters: Any) -> int:
    """Return which of `converters` loads weights; of several the last, which has the last word."""
    found = [index for index, one in enumerate(converters) if one.get("type") == "LoadCheckpoint"]
    if not found:
        raise StageError(
            f"The model_convert_pipeline of stage {stage.name!r} has no LoadCheckpoint, so checkpoint-path has no place"
            " in it; add dict(type='LoadCheckpoint')."
        )
    return found[-1]
