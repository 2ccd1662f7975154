"""The one file that knows the stages of a run.

========================  ===============  =============================================  ==============================
stage (kind)              starts from      does                                           leaves
========================  ===============  =============================================  ==============================
float                     `pretrained` or  trains the float network                       float-checkpoint-*.pth.tar
                          nothing
calibration               float            observes ranges, fixes scales                  calibration-checkpoint-*,
                                                                                          calibration-ranges.md
qat                       calibration or   trains on integer-valued tensors               qat-checkpoint-*
                          float
qat_weights               float            trains on real values with rounded weights     qat_weights-checkpoint-*
calibration_weights       qat_weights      observes ranges behind rounded weights         as calibration
qat_activations           calibration_…    trains on rounded weights and activations      qat_activations-…
int_infer                 qat              lowers to an IntProgram, compares every        <task_name>.hbir,
                                           integer with the graph's, proves its rounding,  alignment.json,
                                           evaluates it                                   certificate.{json,md}
========================  ===============  =============================================  ==============================

A config may list its own ``stages``; a new kind is a function under :func:`stage_kind`. How the model comes into the
form that a stage works on, and into the form that it leaves, are two lists of converters
(:mod:`hatlite.engine.conversion`). Each stage ends with a row in ``stages.json`` and the table of all rows so far.
"""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import hatlite.data
import hatlite.models  # noqa: F401  (registers the models)
from hatlite import config as config_module
from hatlite import program
from hatlite.engine.alignment import require_alignment
from hatlite.engine.allocator import keep_freed_memory
from hatlite.engine.callbacks import QuantRefresh, ScalarLog
from hatlite.engine.certificate import write_certificate
from hatlite.engine.checkpoint import load_checkpoint
from hatlite.engine.conversion import Conversion
from hatlite.engine.kinds import (
    STAGE_KINDS,
    begin,
    go_on,
    pipeline_of,
    program_stage,
    restore,
    stage_file,
    stage_kind,
    start_file,
)
from hatlite.engine.loop import Loop
from hatlite.engine.parts import build_loop, build_model, build_predictor
from hatlite.engine.processes import first_says, join_processes, process, wait_for_all
from hatlite.engine.program_files import is_program
from hatlite.engine.report import judge, judge_equal, read_report, table, write_report
from hatlite.engine.run import Run, Stage
from hatlite.engine.run_lock import alone_in
from hatlite.engine.seed import seed_everything
from hatlite.engine.validate import validate
from hatlite.errors import StageError
from hatlite.log import get_logger
from hatlite.metrics import MetricGroup
from hatlite.program import IntProgram

__all__ = ["export_stage", "last_stage", "lower_stage", "predict_stage", "run_stage"]

logger = get_logger(__name__)


# ---------------------------------------------------------------------------------------------- the kinds of stages


@stage_kind("float", start=("LoadCheckpoint",), restore=("LoadCheckpoint",), from_nothing=True, shared=True)
def train_float(run: Run, stage: Stage, resume: bool) -> dict[str, Any]:
    """Train the float network."""
    return fit(run, stage, build_loop(run, stage), resume)


@stage_kind(
    "calibration",
    start=("LoadCheckpoint", "Float2Calibration"),
    restore=("Float2Calibration", "LoadCheckpoint"),
    gate=0.90,
    shared=True,
)
def calibrate(run: Run, stage: Stage, resume: bool) -> dict[str, Any]:
    """Observe the ranges of the trained float network and fix its scales."""
    return fit(run, stage, build_loop(run, stage), resume)


@stage_kind(
    "calibration_weights",
    start=({"type": "Float2Calibration", "rounded_weights": True}, "LoadCheckpoint"),
    restore=("Float2ActivationQAT", "LoadCheckpoint"),
    gate=0.90,
    shared=True,
)
def calibrate_weights(run: Run, stage: Stage, resume: bool) -> dict[str, Any]:
    """Observe the ranges that activations have behind rounded weights."""
    return fit(run, stage, build_loop(run, stage), resume)


@stage_kind(
    "qat_weights",
    start=("Float2WeightQAT", "LoadCheckpoint"),
    restore=("Float2WeightQAT", "LoadCheckpoint"),
    gate=0.90,
    shared=True,
)
def train_weights(run: Run, stage: Stage, resume: bool) -> dict[str, Any]:
    """Train on real values with rounded weights."""
    return train_quantized(run, stage, resume)


@stage_kind(
    "qat_activations",
    start=("Float2ActivationQAT", "LoadCheckpoint"),
    restore=("Float2ActivationQAT", "LoadCheckpoint"),
    gate=0.90,
    shared=True,
)
def train_activations(run: Run, stage: Stage, resume: bool) -> dict[str, Any]:
    """Train on real values with rounded weights and activations."""
    return train_quantized(run, stage, resume)


@stage_kind(
    "qat",
    start=("Float2QAT", "LoadCheckpoint", "EditGain"),
    restore=("Float2QAT", "LoadCheckpoint"),
    gate=0.98,
    shared=True,
)
def train_quantized(run: Run, stage: Stage, resume: bool) -> dict[str, Any]:
    """Train on integer-valued tensors."""
    loop = build_loop(run, stage)
    # Refreshing comes first: whatever follows wants constants that belong to the weights.
    refreshing = [callback for callback in loop.callbacks if isinstance(callback, QuantRefresh)] or [QuantRefresh()]
    loop.callbacks = [*refreshing, *(callback for callback in loop.callbacks if callback not in refreshing)]
    return fit(run, stage, loop, resume)


@stage_kind(
    "int_infer",
    start=("Float2QAT", "LoadCheckpoint", "QAT2Quantize"),
    restore=("LoadHbir",),
    equals_origin=True,
    shared=True,
)
def run_integers(run: Run, stage: Stage, resume: bool) -> dict[str, Any]:
    """Lower the quantised network to an integer program, save it, prove it equal, and evaluate it on integers.

    Several processes share the evaluation; everything before it is the first one's.
    """
    require_resumable(stage, not resume)
    if run.config.get(f"{stage.name}_trainer", {}).get("callbacks"):
        key = f"{stage.name}_trainer"
        logger.info("config[%r]['callbacks'] have nothing to do: the stage has no epochs, and leaves its program.", key)
    origin = first_says(prove_program(run, stage) if process()[0] == 0 else None)
    metrics = predict_stage(run, stage.name)
    state = load_checkpoint(origin)
    return {**metrics, "checkpoint": origin.name, "epoch": state["epoch"], "starts_from": state["stage"]}


# --------------------------------------------------------------------------------------------------- what they share


def lower_start(run: Run, stage: Stage, checkpoint: Path | None = None) -> tuple[Conversion, IntProgram]:
    """Lower what `stage`, of kind int_infer, starts from; nothing is written.

    Raises:
        CheckpointError, ProgramError, QuantizationError, StageError: There is nothing to lower, or no program of it.
    """
    model = build_model(run, stage)
    conversion = begin(run, stage, model, checkpoint=checkpoint)
    if conversion.graph is None or conversion.loaded is None:
        raise StageError(
            f"The model_convert_pipeline of stage {stage.name!r} lowers no checkpoint; its own converters are"
            f" {', '.join(STAGE_KINDS[stage.kind].start)}."
        )
    return conversion, model.network.executor.program


def write_program(run: Run, stage: Stage, checkpoint: Path | None = None) -> Conversion:
    """Lower what `stage` starts from, as :func:`lower_start` does; write the program and its certificate."""
    conversion, lowered = lower_start(run, stage, checkpoint)
    program.save(lowered, run.program())
    logger.info("Lowered %s to %s (%d operators).", conversion.loaded, run.program(), len(lowered.ops))
    write_certificate(run, conversion.graph)
    return conversion


def prove_program(run: Run, stage: Stage) -> Path:
    """Write the program of `stage`, compare every integer with the graph's, and return the checkpoint it came from."""
    conversion = write_program(run, stage)
    keep_config(run, stage)
    require_alignment(run, conversion.graph)
    return conversion.loaded


def fit(run: Run, stage: Stage, loop: Loop, resume: bool) -> dict[str, Any]:
    """Run `loop` from what `stage` starts from, or from its last checkpoint when asked, and return the stage's row."""
    require_resumable(stage, loop.resumable or not resume)
    state = go_on(run, stage, loop) if resume else None
    if state is None:
        begin(run, stage, loop.model, loop)
    if not any(isinstance(callback, ScalarLog) for callback in loop.callbacks):
        loop.callbacks.append(ScalarLog())  # last: what it writes down has been measured by then
    older = None if resume else written_at(run.checkpoint(stage.name))
    keep_config(run, stage)
    loop.fit(state)
    wait_for_all()  # the first process keeps the files
    if loop.interrupted:
        if process()[0]:
            raise KeyboardInterrupt
        saved = run.checkpoint(stage.name, "last").is_file() and loop.resumable
        print(f"Interrupted{' and saved' if saved else ''}. To go on: {run.command(stage.name, resume=saved)}")
        raise KeyboardInterrupt
    if older is not None and written_at(run.checkpoint(stage.name)) == older:
        raise StageError(
            f"{run.checkpoint(stage.name)} is of an earlier run: this one wrote no such checkpoint. {how_to_write(run)}"
        )
    return {**row_of_checkpoint(run, stage), "seconds": loop.seconds_before}


def written_at(path: Path) -> int | None:
    """Return the time of the last change in nanoseconds, None for no file."""
    return path.stat().st_mtime_ns if path.is_file() else None


def keep_config(run: Run, stage: Stage) -> None:
    """Write the resolved config beside what `stage` is about to leave; a stage that cannot start leaves nothing."""
    if process()[0] == 0:
        config_module.dump(run.config, run.folder / f"{stage.name}-config.json")


def require_resumable(stage: Stage, resumable: bool) -> None:
    """Refuse --resume where a stage has no halfway.

    Raises:
        StageError: It has none.
    """
    if not resumable:
        raise StageError(f"Stage {stage.name!r} is short and always starts anew; run it without --resume.")


def row_of_checkpoint(run: Run, stage: Stage) -> dict[str, Any]:
    """Return the metrics of the checkpoint that counts, measuring them if training did not."""
    path = run.checkpoint(stage.name)
    state = load_checkpoint(path, hint=how_to_write(run))
    metrics = state["metrics"] or predict_stage(run, stage.name)
    return {**metrics, "checkpoint": path.name, "epoch": state["epoch"]}


def how_to_write(run: Run) -> str:
    """Return what makes a stage write the checkpoint that counts."""
    if run.config["stage_checkpoint"] == "last":
        return "Give the trainer at least one epoch and a Checkpoint."
    return "Give the trainer epochs, a Validation and a Checkpoint, or set stage_checkpoint='last'."


# --------------------------------------------------------------------------------------------------- for the tools


def run_stage(run: Run, name: str, *, resume: bool = False) -> dict[str, Any]:
    """Run one stage from validation of the whole config to the table; return the stage's row.

    Under torchrun the processes join; the first one reports for all.

    Args:
        run: Config and where it came from.
        name: Of the stage.
        resume: Go on from the stage's last checkpoint.

    Raises:
        ConfigError: Problems of any stage, all together, before anything is built.
        StageError: The stage cannot start, or not in several processes, or another process works in the run's folder.
    """
    keep_freed_memory()
    stage = run.stage(name)  # a wrong name is told before anything that the config lacks
    validate(run, STAGE_KINDS, stage=stage)
    if not resume:
        start_file(run, stage, pipeline_of(run, stage, "trainer"))
    seed_everything(run.config["seed"])
    started = time.perf_counter()
    with join_processes(run.device) as (rank, count):
        if count > 1 and not STAGE_KINDS[stage.kind].shared:
            sharing = ", ".join(name for name, kind in STAGE_KINDS.items() if kind.shared)
            raise StageError(
                f"Stage {name!r} is of kind {stage.kind!r}, which runs in one process, and {count} were started;"
                f" start it without torchrun and --device-ids. Kinds that several processes share: {sharing}."
            )
        intended = len(run.config.get("device_ids", range(count)))
        if intended != count:
            logger.info("config['device_ids'] names %d devices; processes that work: %d.", intended, count)
        with nullcontext() if rank else alone_in(run.folder, name):
            row = STAGE_KINDS[stage.kind].execute(run, stage, resume)
            seconds = row.get("seconds", 0.0) + time.perf_counter() - started
            return row if rank else record(run, stage, {**row, "seconds": seconds})


def record(run: Run, stage: Stage, row: dict[str, Any]) -> dict[str, Any]:
    """Judge `row`, put it into the report, print the table."""
    kind = STAGE_KINDS[stage.kind]
    gate = run.config.get("gates", {}).get(stage.name, stage.gate if stage.gate is not None else kind.gate)
    rows = read_report(run.folder)
    base = next((rows[one.name] for one in run.stages if one.kind == "float" and one.name in rows), None)
    rows[stage.name] = {**row, **judge(row, base if stage.kind != "float" else None, gate)}
    if kind.equals_origin and row["starts_from"] in rows:
        rows[stage.name] |= judge_equal(row, row["starts_from"], rows)
    order = [one.name for one in run.stages if one.name in rows]
    rows = {name: rows[name] for name in (*order, *sorted(set(rows) - set(order)))}
    write_report(run.folder, rows)
    print(table(rows))
    if rows[stage.name]["passed"] is False:
        logger.warning("Stage %r did not pass its gate: %s.", stage.name, rows[stage.name]["gate"])
    return rows[stage.name]


def last_stage(run: Run) -> Stage:
    """Return the last stage of `run` that has left its file.

    Raises:
        StageError: None has; the message holds the command that makes the first.
    """
    done = [stage for stage in run.stages if stage_file(run, stage).is_file()]
    if not done:
        first = run.stages[0].name
        raise StageError(f"No stage has left anything in {run.folder}.\n  Run this first: {run.command(first)}")
    return done[-1]


def export_stage(run: Run, checkpoint: str | Path | None = None) -> Path:
    """Lower what the stage int_infer starts from and write ``<task_name>.hbir`` and its certificate; no data needed.

    It is what the stage int_infer does before it compares and evaluates. Where the config has ``deploy_inputs``, no
    picture is read.

    Args:
        run: Config and folder.
        checkpoint: Of a calibration or qat stage, instead of the one that int_infer starts from.

    Returns:
        The program's file.

    Raises:
        ConfigError: Problems of the config, all together.
        StageError: The run has no stage of kind int_infer, or there is nothing to lower.
        CheckpointError, ProgramError, QuantizationError: The checkpoint cannot be lowered.
    """
    write_program(run, stage_to_lower(run, checkpoint), Path(checkpoint) if checkpoint else None)
    return run.program()


def lower_stage(run: Run, checkpoint: str | Path | None = None) -> IntProgram:
    """Return the program that :func:`export_stage` would write, and write nothing; arguments and errors are its own."""
    return lower_start(run, stage_to_lower(run, checkpoint), Path(checkpoint) if checkpoint else None)[1]


def stage_to_lower(run: Run, checkpoint: str | Path | None) -> Stage:
    """Return the stage that leaves the program, if `checkpoint` and the config let it be lowered."""
    if checkpoint is not None and is_program(Path(checkpoint)):
        raise StageError(
            f"{checkpoint} is a program already; name the checkpoint of a calibration or qat stage, or none, to export."
        )
    stage = program_stage(run)
    validate(run, STAGE_KINDS, data=False, stage=stage)
    return stage


def predict_stage(
    run: Run, name: str, checkpoint: Path | None = None, *, beside: Sequence[Any] = ()
) -> dict[str, float]:
    """Evaluate what stage `name` left with ``<stage>_predictor``, derived from the config if it has none.

    Args:
        run: Config and folder.
        name: Of the stage.
        checkpoint: File to take instead of the stage's own.
        beside: Further metrics, shown the same as the predictor's; in place of those of the same types.
    """
    run.stage(name)  # a wrong name is told before anything that the config lacks
    predictor = build_predictor(run, name)
    if beside:
        predictor.metrics = MetricGroup([*_others(predictor.metrics, beside), *beside])
    restore(run, name, predictor.model, checkpoint)
    return predictor.predict()


def _others(metrics: Any, beside: Sequence[Any]) -> list[Any]:
    """Return those of `metrics`, one or a group, whose types are not among those of `beside`."""
    return [one for one in (metrics if isinstance(metrics, list) else [metrics]) if type(one) not in map(type, beside)]
