"""What a kind of stage is, and how its two pipelines of converters bring a detector into form.

The kinds themselves stand in :mod:`hatlite.engine.stages`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hatlite.engine.checkpoint import is_checkpoint, load_checkpoint, read_tensors
from hatlite.engine.conversion import Conversion, ModelConvertPipeline, form_of
from hatlite.engine.converters import LoadHbir, ResumeState, take_origin, take_own
from hatlite.engine.loop import Loop
from hatlite.engine.parts import build_model, model_config
from hatlite.engine.program_files import is_program
from hatlite.engine.run import Run, Stage
from hatlite.errors import ConfigError, StageError
from hatlite.log import get_logger
from hatlite.quantization import FakeQuantGraph
from hatlite.registry import OBJECT_REGISTRY

__all__ = [
    "STAGE_KINDS",
    "StageKind",
    "begin",
    "go_on",
    "pipeline_of",
    "program_stage",
    "quantized_network",
    "restore",
    "stage_file",
    "stage_kind",
    "start_file",
]

logger = get_logger(__name__)


@dataclass(frozen=True)
class StageKind:
    """What a kind of stage does.

    Attributes:
        execute: Runs the stage, ``(run, stage, resume) -> row``: metrics and where they come from.
        start: Types of the converters, or dicts of types and arguments, that bring the built model into the form that
            the stage works on;
            ``<stage>_trainer['model_convert_pipeline']`` replaces them.
        restore: Types of those that bring it into the form that the stage leaves, from the file that it leaves;
            ``<stage>_predictor['model_convert_pipeline']`` replaces them.
        from_nothing: There need be no file to start from.
        gate: Smallest mAP as a fraction of the float stage's; None when there is nothing to compare with.
        equals_origin: All metrics must equal, digit for digit, those of the stage it starts from.
        shared: Several processes may work at it together.
    """

    execute: Callable[[Run, Stage, bool], dict[str, Any]]
    start: tuple[str | Mapping[str, Any], ...]
    restore: tuple[str | Mapping[str, Any], ...]
    from_nothing: bool = False
    gate: float | None = None
    equals_origin: bool = False
    shared: bool = False

    @property
    def leaves_program(self) -> bool:
        """Whether the file that the stage leaves is an integer program."""
        return self.restore[-1:] == ("LoadHbir",)


STAGE_KINDS: dict[str, StageKind] = {}

EVALUATED_ALIKE = ("calibration", "qat")
"""Forms that are the same once the scales are loaded: the graph on integer-valued tensors."""


def stage_kind(
    name: str,
    *,
    start: tuple[str | Mapping[str, Any], ...] = (),
    restore: tuple[str | Mapping[str, Any], ...] = (),
    **more: Any,
) -> Callable:
    """Decorate the function that executes the kind `name`; arguments as :class:`StageKind` has them."""

    def keep(execute: Callable[[Run, Stage, bool], dict[str, Any]]) -> Callable:
        STAGE_KINDS[name] = StageKind(execute, start, restore, **more)
        return execute

    return keep


def begin(run: Run, stage: Stage, model: Any, loop: Loop | None = None, checkpoint: Path | None = None) -> Conversion:
    """Bring a freshly built detector into the form that `stage` works on.

    Args:
        run: Config and folder.
        stage: Its kind or its trainer has the pipeline.
        model: As it was built.
        loop: What is going to train it, if anything is.
        checkpoint: File to take instead of what the stage starts from.
    """
    pipeline = pipeline_of(run, stage, "trainer")
    if checkpoint is not None:
        pipeline = with_file(pipeline, run, stage, checkpoint)
    instead = take_origin(run, stage, checkpoint)
    conversion = Conversion(run, stage, instead, start_file(run, stage, pipeline), loop)
    pipeline(model, conversion)
    return conversion


def go_on(run: Run, stage: Stage, loop: Loop) -> dict[str, Any]:
    """Bring the freshly built model of `loop` to where `stage` was interrupted, and return the checkpoint of that.

    Nothing but the last checkpoint of `stage` itself is read.

    Raises:
        CheckpointError: There is none, or it is of another run.
    """
    last = run.checkpoint(stage.name, "last")
    state = load_checkpoint(last, hint=f"Start without --resume: {run.command(stage.name)}")
    pipeline = pipeline_of(run, stage, "trainer").resuming(ResumeState(state, last))
    pipeline(loop.model, Conversion(run, stage, loop=loop))
    return state


def pipeline_of(run: Run, stage: Stage, entry: str) -> ModelConvertPipeline:
    """Return the pipeline of ``<stage>_trainer`` or ``<stage>_predictor``: the config's, or the one of its kind.

    What leaves a program may have its pipeline in ``deploy_model_convert_pipeline`` too, if that loads a checkpoint.

    Raises:
        ConfigError: The config's leaves the model in another form than the kind's.
    """
    kind = STAGE_KINDS[stage.kind]
    named = kind.start if entry == "trainer" else kind.restore
    converters = [{"type": one} if isinstance(one, str) else one for one in named]
    types = [one["type"] for one in converters]
    derived = OBJECT_REGISTRY.build({"type": "ModelConvertPipeline", "converters": converters})
    where = f"['{stage.name}_{entry}']['model_convert_pipeline']"
    given = run.config.get(f"{stage.name}_{entry}", {}).get("model_convert_pipeline")
    deployed = run.config.get("deploy_model_convert_pipeline")
    if given is None and entry == "trainer" and kind.leaves_program and _loads(deployed):
        where, given = "['deploy_model_convert_pipeline']", deployed
    if given is None:
        return derived
    pipeline = OBJECT_REGISTRY.build(given, path=where)
    wanted = derived.leaves()
    alike = EVALUATED_ALIKE if entry == "predictor" and wanted in EVALUATED_ALIKE else (wanted,)
    if pipeline.leaves() not in alike:
        raise ConfigError(
            f"config{where} leaves the model in the form {pipeline.leaves()!r}, and stage {stage.name!r} needs"
            f" {wanted!r}; its own converters are {', '.join(types)}."
        )
    return pipeline


def _loads(pipeline: Any) -> bool:
    return bool(pipeline) and any(one.get("type") == "LoadCheckpoint" for one in pipeline["converters"])


def start_file(run: Run, stage: Stage, pipeline: ModelConvertPipeline) -> Path | None:
    """Return the checkpoint that `stage` starts from, None if it starts from nothing or its pipeline names the file.

    That is the one of its predecessor; or, as long as there is none, a checkpoint that ``model['pretrained']`` names.

    Raises:
        StageError: There is none; the message holds the command that makes it.
    """
    if not pipeline.reads_stage_file:
        return None
    if STAGE_KINDS[stage.kind].from_nothing:
        return run.predecessor(stage)
    pretrained = model_config(run, stage).get("pretrained")
    before = [run.checkpoint(name) for name in stage.starts_from]
    if pretrained and not any(path.is_file() for path in before) and Path(pretrained).is_file():
        if is_checkpoint(read_tensors(pretrained)):
            return Path(pretrained)
    return run.origin(stage)


def quantized_network(run: Run, stage: Stage, checkpoint: Path | None = None) -> FakeQuantGraph:
    """Return the graph that `stage`, of kind int_infer, lowers, with the scales of `checkpoint` or of its own start."""
    pipeline = pipeline_of(run, stage, "trainer").before_integers()
    if checkpoint is not None:
        pipeline = with_file(pipeline, run, stage, checkpoint)
    model = build_model(run, stage)
    instead = take_origin(run, stage, checkpoint)
    pipeline(model, Conversion(run, stage, instead, start_file(run, stage, pipeline)))
    return model.network


def with_file(pipeline: ModelConvertPipeline, run: Run, stage: Stage, path: Path) -> ModelConvertPipeline:
    """Return `pipeline` reading `path` in the place of the last file that it reads.

    A program takes the place of all of it, and a checkpoint that of a program is lowered in memory.

    Raises:
        StageError: It has no place for such a file.
    """
    if is_program(path) and pipeline.leaves() == "integers":
        return ModelConvertPipeline([LoadHbir(path)])
    if is_program(path):
        raise StageError(
            f"{path} is an integer program, and stage {stage.name!r} is evaluated with a checkpoint; give --stage"
            f" int_infer, or name one such as {stage_file(run, stage)}."
        )
    found = pipeline.taking(path)
    if found is None and pipeline.leaves() == "integers":
        found = pipeline_of(run, stage, "trainer").taking(path)
    if found is not None:
        return found
    raise StageError(
        f"The model_convert_pipeline of stage {stage.name!r} has no LoadCheckpoint, so {path} has no place in it;"
        " add dict(type='LoadCheckpoint')."
    )


def restore(run: Run, name: str, model: Any, checkpoint: Path | None = None) -> None:
    """Bring a freshly built detector into the form in which stage `name` leaves it.

    Args:
        run: Config and folder.
        name: Of the stage.
        model: Built from ``config['model']``.
        checkpoint: File to take instead of the stage's own; of int_infer a program, or a checkpoint to be lowered.

    Raises:
        CheckpointError, ProgramError: The file is missing, damaged or of another run.
    """
    program = form_of(model) == "integers"
    if program and checkpoint is None:
        return  # the config's model is a program already
    stage = run.stage(name)
    own = stage_file(run, stage)
    pipeline = pipeline_of(run, stage, "predictor")
    if checkpoint is not None:
        pipeline = with_file(pipeline, run, stage, Path(checkpoint))
    converted = build_model(run) if program else model
    conversion = Conversion(run, stage, take_own(own), own)
    pipeline(converted, conversion)
    if checkpoint is not None and conversion.form != "integers" and conversion.loaded_stage not in (None, name):
        other = conversion.loaded_stage
        logger.info(
            "%s is of stage %r; its weights are looked at as stage %r has them.", conversion.loaded, other, name
        )
    model.network = converted.network


def stage_file(run: Run, stage: Stage) -> Path:
    """Return the file that `stage` leaves: a checkpoint or the program."""
    return run.program() if STAGE_KINDS[stage.kind].leaves_program else run.checkpoint(stage.name)


def program_stage(run: Run) -> Stage:
    """Return the stage that leaves the integer program.

    Raises:
        StageError: The config lists none.
    """
    for stage in run.stages:
        if stage.kind in STAGE_KINDS and STAGE_KINDS[stage.kind].leaves_program:
            return stage
    raise StageError(f"The config lists no stage of kind 'int_infer', so there is no program; {run.ask_checker}")
