"""``quantize`` in a config: one flag that says what is trained and what is evaluated where no ``--stage`` does.

==========================  ============  ==============================================================
``quantize``                ``train.py``  ``predict.py``, ``infer.py``, ``confusion_matrix.py``
==========================  ============  ==============================================================
``False``, ``None``         float         float
``True``, ``'training'``    qat           the last quantised stage that left a checkpoint: qat, where it did,
``'calibration'``           calibration   before calibration, whichever of the three values the flag has
==========================  ============  ==============================================================

``--stage`` comes first. Where the two differ a line of the log says so; ``int_infer`` and kinds of stages of your own
are beyond the flag and differ from none, and None contradicts nobody. Without the key ``train.py`` wants ``--stage``,
``predict.py`` looks at float and the others at the last stage that was run, or all at that of ``--ckpt``. With it
``--ckpt`` decides about weights, and the flag about the form that they are put into: a checkpoint of qat with
``quantize=False`` is looked at in float.

A config may ask the environment which stage runs. Where the command line names it, the config finds it there at once;
where the config's own flag decides, it is loaded again with what it has decided.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from hatlite.engine.infer import stage_of
from hatlite.engine.kinds import stage_file
from hatlite.engine.run import Run, Stage
from hatlite.engine.validate import load_run
from hatlite.errors import StageError
from hatlite.log import get_logger

__all__ = ["float_stage", "run_to_evaluate", "run_to_train", "stage_to_evaluate", "stage_to_train"]

logger = get_logger(__name__)

KEY = "quantize"
QUANTISED = ("calibration", "qat")
STEPS = ("qat_weights", "calibration_weights", "qat_activations")
"""Kinds of stages in which a network learns its integers part by part."""


def run_to_train(
    source: str,
    opts: Sequence[str] = (),
    device: str | None = None,
    flags: Sequence[str] = (),
    *,
    stage: str | None = None,
) -> tuple[Run, str]:
    """Return the run of a config, which knows the stage that is to be trained, and that stage's name.

    Args:
        source, opts, device, flags: As for :meth:`Run.load`.
        stage: What the command line names; None leaves it to the config.

    Raises:
        ConfigError: The config or an override cannot be used.
        StageError: As :func:`stage_to_train`.
    """
    run = Run.load(source, opts, device, flags, stage=stage)
    return _told_to_config(run, stage, stage_to_train(run, stage))


def run_to_evaluate(
    source: str,
    opts: Sequence[str] = (),
    device: str | None = None,
    flags: Sequence[str] = (),
    *,
    otherwise: Callable[[Run], Stage],
    stage: str | None = None,
    checkpoint: str | Path | None = None,
) -> tuple[Run, str]:
    """Return the run of a config, which knows the stage that is to be looked at, and that stage's name.

    Args:
        source, opts, device, flags: As for :meth:`Run.load`.
        otherwise: As for :func:`stage_to_evaluate`.
        stage: What the command line names; None leaves it to the config.
        checkpoint: What ``--ckpt`` names.

    Raises:
        ConfigError: The config or an override cannot be used, or all problems of the config together.
        CheckpointError, StageError: As :func:`stage_to_evaluate`.
    """
    run = load_run(source, opts, device, flags, stage=stage)
    return _told_to_config(run, stage, stage_to_evaluate(run, stage, checkpoint, otherwise))


def _told_to_config(run: Run, given: str | None, stage: str) -> tuple[Run, str]:
    if given is None:
        run = Run.load(run.source, run.opts, run.device, run.flags, stage=stage)
    return run, stage


def stage_to_train(run: Run, given: str | None = None) -> str:
    """Return the name of the stage that is to be trained.

    Args:
        run: Its config may have ``quantize``.
        given: What the command line names; None leaves it to the config.

    Raises:
        StageError: Neither names a stage, or the config lists none or several of the kind.
    """
    if given is not None:
        return _named(run, given, (_kind(run),))
    if KEY not in run.config:
        raise StageError(
            f"--stage is missing, and {run.source} sets no quantize, which would say what to train; name one of"
            f" {_names(run.stages)}, such as --stage {run.stages[0].name}."
        )
    found = _of_kind(run, _kind(run))
    if len(found) > 1:
        raise StageError(f"{_asks(run)}, of which there are {_names(found)}; name one with --stage.")
    return _told(found[0], _is(run))


def stage_to_evaluate(
    run: Run, given: str | None, checkpoint: str | Path | None, otherwise: Callable[[Run], Stage]
) -> str:
    """Return the name of the stage that is to be looked at.

    Args:
        run: Its config may have ``quantize``.
        given: What the command line names; None leaves it to the config.
        checkpoint: What ``--ckpt`` names.
        otherwise: Decides where there is no `given`, no ``quantize`` and no `checkpoint`.

    Raises:
        StageError: The config lists no stage of the kind.
        CheckpointError: `checkpoint` is missing or damaged.
    """
    if given is not None:
        return _named(run, given, QUANTISED if run.config.get(KEY) else ("float",))
    if KEY not in run.config and checkpoint is None:
        return otherwise(run).name
    if KEY in run.config and not run.config[KEY]:
        return _told(_of_kind(run, "float")[-1], _is(run))
    of_file = None if checkpoint is None else run.stage(stage_of(run, checkpoint))
    if of_file is not None and (KEY not in run.config or of_file.kind != "float"):
        return _told(of_file, f"{checkpoint} is of it")
    left = [stage for stage in run.stages if stage.kind in (*STEPS, *QUANTISED) and stage_file(run, stage).is_file()]
    if left:
        return _told(left[-1], f"{_is(run)}, and of the quantised stages it is the last that left a checkpoint")
    return _told(_of_kind(run, _kind(run))[-1], _is(run))


def float_stage(run: Run) -> Stage:
    """Return the last stage of kind float, and say that nothing else was asked for.

    Raises:
        StageError: The config lists none.
    """
    stage = _of_kind(run, "float")[-1]
    _told(stage, "neither --stage nor config['quantize'] names one")
    return stage


def _kind(run: Run) -> str:
    """Return the kind of stage that the flag names."""
    value = run.config.get(KEY)
    return "float" if not value else "calibration" if value == "calibration" else "qat"


def _of_kind(run: Run, kind: str) -> list[Stage]:
    found = [stage for stage in run.stages if stage.kind == kind]
    if not found:
        raise StageError(f"{_asks(run)}, and config['stages'] lists none; name one with --stage: {_names(run.stages)}.")
    return found


def _names(stages: Sequence[Stage]) -> str:
    return ", ".join(stage.name for stage in stages)


def _is(run: Run) -> str:
    return f"config['quantize'] is {run.config[KEY]!r}" if KEY in run.config else "config['quantize'] is not set"


def _asks(run: Run) -> str:
    return f"{_is(run)}, which asks for a stage of kind {_kind(run)!r}"


def _told(stage: Stage, why: str) -> str:
    logger.info("Stage %r: %s.", stage.name, why)
    return stage.name


def _named(run: Run, given: str, wanted: tuple[str, ...]) -> str:
    """Return `given`, and say so where the flag asks for another kind."""
    kind = run.stage(given).kind
    if run.config.get(KEY) is not None and kind in ("float", *QUANTISED) and kind not in wanted:
        logger.info("--stage %s is followed; %s, which asks for %s.", given, _is(run), " or ".join(wanted))
    return given
