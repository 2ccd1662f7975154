"""The one file that knows the stages of a run.

========================  ===============  =============================================  ==============================
stage (kind)              starts from      does                                           leaves
========================  ===============  =============================================  ==============================
float                     `pretrained` or  trains the float network                       float-checkpoint-*.pth.tar
                          nothing
calibration               float            observes ranges, fixes scales                  calibration-checkpoint-*,
                                                                                          calibration-ranges.md
qat                       calibration      trains on integer-valued tensors               qat-checkpoint-*
int_infer                 qat              lowers to an IntProgram, compares every        <task_name>.hbir,
                                           integer with the graph's, proves its rounding,  alignment.json,
                                           evaluates it                                   certificate.{json,md}
========================  ===============  =============================================  ==============================

A config may list its own ``stages``; a new kind is a function under :func:`stage_kind`. Each stage ends with a row in
``stages.json`` and the table of all rows so far.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hatlite.data
import hatlite.metrics
import hatlite.models  # noqa: F401  (registers the models)
from hatlite import config as config_module
from hatlite import program
from hatlite.engine.alignment import require_alignment
from hatlite.engine.allocator import keep_freed_memory
from hatlite.engine.callbacks import QuantRefresh
from hatlite.engine.certificate import write_certificate
from hatlite.engine.checkpoint import check_resumable, load_checkpoint, load_weights
from hatlite.engine.executor_network import ExecutorNetwork
from hatlite.engine.loop import Loop
from hatlite.engine.parts import build_loop, build_predictor, quantize
from hatlite.engine.pretrained import load_pretrained
from hatlite.engine.processes import join_processes, process
from hatlite.engine.report import judge, judge_equal, read_report, table, write_report
from hatlite.engine.run import Run, Stage
from hatlite.engine.seed import seed_everything
from hatlite.engine.validate import validate
from hatlite.errors import ProgramError, StageError
from hatlite.log import get_logger
from hatlite.lowering import lower
from hatlite.march import get_march
from hatlite.program import IntProgram
from hatlite.registry import OBJECT_REGISTRY

__all__ = [
    "STAGE_KINDS",
    "StageKind",
    "last_stage",
    "predict_stage",
    "restore",
    "run_stage",
    "stage_file",
    "stage_kind",
]

logger = get_logger(__name__)


@dataclass(frozen=True)
class StageKind:
    """What a kind of stage does.

    Attributes:
        execute: Runs the stage, ``(run, stage, resume) -> row``: metrics and where they come from.
        restore: Brings a built detector into the form that the stage leaves it in, ``(run, stage, model, file)``.
        gate: Smallest mAP as a fraction of the float stage's; None when there is nothing to compare with.
        equals_origin: All metrics must equal, digit for digit, those of the stage it starts from.
        shared: Several processes may work at it together.
    """

    execute: Callable[[Run, Stage, bool], dict[str, Any]]
    restore: Callable[[Run, Stage, Any, Path], None]
    gate: float | None = None
    equals_origin: bool = False
    shared: bool = False


STAGE_KINDS: dict[str, StageKind] = {}


def stage_kind(
    name: str,
    *,
    restore: Callable[[Run, Stage, Any, Path], None],
    gate: float | None = None,
    equals_origin: bool = False,
    shared: bool = False,
) -> Callable[[Callable], Callable]:
    """Decorate the function that executes the kind `name`."""

    def keep(execute: Callable[[Run, Stage, bool], dict[str, Any]]) -> Callable:
        STAGE_KINDS[name] = StageKind(execute, restore, gate, equals_origin, shared)
        return execute

    return keep


# ---------------------------------------------------------------------------------------------- the kinds of stages


def restore_float(run: Run, stage: Stage, model: Any, checkpoint: Path) -> None:
    """Load float weights."""
    load_into(run, stage, model, checkpoint, need_sites=False)


def restore_quantized(run: Run, stage: Stage, model: Any, checkpoint: Path) -> None:
    """Replace the network by its fake-quant graph and load weights and scales."""
    quantize(run, model)
    load_into(run, stage, model, checkpoint, need_sites=True)
    model.network.integer_mode()


@stage_kind("float", restore=restore_float)
def train_float(run: Run, stage: Stage, resume: bool) -> dict[str, Any]:
    """Train the float network."""
    loop = build_loop(run, stage)
    origin = run.predecessor(stage)
    if origin is not None and not resume:
        restore_float(run, stage, loop.model, origin)
    elif not resume:
        load_pretrained(loop.model, run.info(stage.name))
    return fit(run, stage, loop, resume)


@stage_kind("calibration", restore=restore_quantized, gate=0.90, shared=True)
def calibrate(run: Run, stage: Stage, resume: bool) -> dict[str, Any]:
    """Observe the ranges of the trained float network and fix its scales."""
    loop = build_loop(run, stage)
    restore_float(run, stage, loop.model, run.origin(stage))
    quantize(run, loop.model)
    return fit(run, stage, loop, resume)


@stage_kind("qat", restore=restore_quantized, gate=0.98)
def train_quantized(run: Run, stage: Stage, resume: bool) -> dict[str, Any]:
    """Train on integer-valued tensors."""
    loop = build_loop(run, stage)
    restore_quantized(run, stage, loop.model, run.origin(stage))
    # Refreshing comes first: whatever follows wants constants that belong to the weights.
    refreshing = [callback for callback in loop.callbacks if isinstance(callback, QuantRefresh)] or [QuantRefresh()]
    loop.callbacks = [*refreshing, *(callback for callback in loop.callbacks if callback not in refreshing)]
    return fit(run, stage, loop, resume)


def restore_program(run: Run, stage: Stage, model: Any, path: Path) -> None:
    """Replace the network by the saved integer program."""
    require_program(run, stage, path)
    loaded = program.load(path)
    require_own(run, loaded, path)
    model.network = ExecutorNetwork(loaded, device=run.device)


@stage_kind("int_infer", restore=restore_program, equals_origin=True)
def run_integers(run: Run, stage: Stage, resume: bool) -> dict[str, Any]:
    """Lower the quantised network to an integer program, save it, prove it equal, and evaluate it on integers."""
    require_resumable(stage, not resume)
    origin = run.origin(stage)
    model = quantized_model(run, stage, origin)
    lowered = lower_detector(run, model)
    keep_config(run, stage)
    program.save(lowered, run.program())
    logger.info("Lowered %s to %s (%d operators).", origin, run.program(), len(lowered.ops))
    require_alignment(run, model.network)
    write_certificate(run, model.network)
    metrics = predict_stage(run, stage.name)
    state = load_checkpoint(origin)
    return {**metrics, "checkpoint": origin.name, "epoch": state["epoch"], "starts_from": state["stage"]}


# --------------------------------------------------------------------------------------------------- what they share


def load_into(run: Run, stage: Stage, model: Any, path: Path, *, need_sites: bool) -> None:
    """Load the checkpoint at `path` into `model`; a `last` that an interruption wrote is worth a warning."""
    state = load_checkpoint(path, hint=how_to_get(run, stage, path))
    load_weights(model, state, path=path, run=run.info(stage.name), need_sites=need_sites)
    run.classes = run.classes or tuple(state["classes"])
    if path == run.checkpoint(state["stage"], "last") and state["epoch"] < state["num_epochs"]:
        logger.warning("%s was written after %d of %d epochs.", path, state["epoch"], state["num_epochs"])


def lower_detector(run: Run, model: Any) -> IntProgram:
    """Lower the fake-quant network of `model` for the run's march."""
    metadata = {"task_name": run.task_name, "classes": list(run.classes), "num_classes": run.config["num_classes"]}
    return lower(model.network, get_march(run.config["march"]), name=run.task_name, metadata=metadata)


def fit(run: Run, stage: Stage, loop: Loop, resume: bool) -> dict[str, Any]:
    """Run `loop`, from its last checkpoint when asked, and return the stage's row."""
    state = None
    if resume:
        require_resumable(stage, loop.resumable)
        last = run.checkpoint(stage.name, "last")
        state = load_checkpoint(last, hint=f"Start without --resume: {run.command(stage.name)}")
        check_resumable(loop.model, state, path=last, run=loop.run)
    older = None if resume else written_at(run.checkpoint(stage.name))
    if process()[0]:  # the first process keeps the files and the report
        loop.fit(state)
        return {}
    keep_config(run, stage)
    loop.fit(state)
    if loop.interrupted:
        saved = run.checkpoint(stage.name, "last").is_file() and loop.resumable
        print(f"Interrupted{' and saved' if saved else ''}. To go on: {run.command(stage.name, resume=saved)}")
        raise KeyboardInterrupt
    if older is not None and written_at(run.checkpoint(stage.name)) == older:
        raise StageError(
            f"{run.checkpoint(stage.name)} is of an earlier run: this one wrote no such checkpoint. Give its trainer a"
            " Validation, or set stage_checkpoint='last'."
        )
    return row_of_checkpoint(run, stage)


def written_at(path: Path) -> int | None:
    """Return the time of the last change in nanoseconds, None for no file."""
    return path.stat().st_mtime_ns if path.is_file() else None


def keep_config(run: Run, stage: Stage) -> None:
    """Write the resolved config beside what `stage` is about to leave; a stage that cannot start leaves nothing."""
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
    state = load_checkpoint(
        path, hint="Give the trainer epochs, a Validation and a Checkpoint, or set stage_checkpoint='last'."
    )
    metrics = state["metrics"] or predict_stage(run, stage.name)
    return {**metrics, "checkpoint": path.name, "epoch": state["epoch"]}


def quantized_model(run: Run, stage: Stage, checkpoint: Path) -> Any:
    """Build the detector of the run with its fake-quant graph as `checkpoint` left it."""
    model = OBJECT_REGISTRY.build(run.config["model"], path="['model']")
    restore_quantized(run, stage, model, checkpoint)
    return model


def require_program(run: Run, stage: Stage, path: Path) -> None:
    """Refuse to go on without the file of the integer program.

    Raises:
        StageError: It does not exist; the message holds the command that makes it.
    """
    if not path.is_file():
        raise StageError(f"There is no program {path}.\n  {how_to_get(run, stage, path)}")


def require_own(run: Run, loaded: IntProgram, path: Path) -> None:
    """Refuse a program that another config was lowered to.

    Raises:
        ProgramError: Its task, march or number of classes is not the run's.
    """
    own = {key: run.config[key] for key in ("task_name", "march", "num_classes")}
    theirs = {**loaded.metadata, "march": loaded.march}
    differ = [f"{key} is {theirs[key]!r} and not {own[key]!r}" for key in own if theirs.get(key, own[key]) != own[key]]
    if differ:
        raise ProgramError(
            f"{path} belongs to another config: its {', its '.join(differ)}.\n  Take {run.program()}, or run"
            " stage 'int_infer' again."
        )


def how_to_get(run: Run, stage: Stage, path: Path) -> str:
    """Return what to do about a missing `path`: run the stage that leaves it, or name another file."""
    own = stage_file(run, stage)
    return f"Run this first: {run.command(stage.name)}" if path == own else f"Name another file, or take {own}."


# --------------------------------------------------------------------------------------------------- for the tools


def run_stage(run: Run, name: str, *, resume: bool = False) -> dict[str, Any]:
    """Run one stage from validation of the whole config to the table; return the stage's row.

    Under torchrun the processes join; all but the first help and return an empty row.

    Args:
        run: Config and where it came from.
        name: Of the stage.
        resume: Go on from the stage's last checkpoint.

    Raises:
        ConfigError: Problems of any stage, all together, before anything is built.
        StageError: The stage cannot start, or not in several processes.
    """
    keep_freed_memory()
    validate(run, STAGE_KINDS)
    stage = run.stage(name)
    run.predecessor(stage)
    seed_everything(run.config["seed"])
    started = time.perf_counter()
    with join_processes() as (rank, count):
        if count > 1 and not STAGE_KINDS[stage.kind].shared:
            sharing = ", ".join(name for name, kind in STAGE_KINDS.items() if kind.shared)
            raise StageError(
                f"Stage {name!r} is of kind {stage.kind!r}, which runs in one process, and torchrun started {count};"
                f" start it with python. Kinds that several processes share: {sharing}."
            )
        row = STAGE_KINDS[stage.kind].execute(run, stage, resume)
    return row if rank else record(run, stage, {**row, "seconds": time.perf_counter() - started})


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


def restore(run: Run, name: str, model: Any, checkpoint: Path | None = None) -> None:
    """Bring a freshly built detector into the form in which stage `name` leaves it.

    Args:
        run: Config and folder.
        name: Of the stage.
        model: Built from ``config['model']``.
        checkpoint: File to take instead of the stage's own.

    Raises:
        CheckpointError, ProgramError: The file is missing, damaged or of another run.
    """
    stage = run.stage(name)
    path = Path(checkpoint) if checkpoint else stage_file(run, stage)
    STAGE_KINDS[stage.kind].restore(run, stage, model, path)


def stage_file(run: Run, stage: Stage) -> Path:
    """Return the file that `stage` leaves: a checkpoint or the program."""
    return run.program() if stage.kind == "int_infer" else run.checkpoint(stage.name)


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


def predict_stage(run: Run, name: str, checkpoint: Path | None = None) -> dict[str, float]:
    """Evaluate what stage `name` left with ``<stage>_predictor``, derived from the config if it has none.

    Args:
        run: Config and folder.
        name: Of the stage.
        checkpoint: File to take instead of the stage's own.
    """
    predictor = build_predictor(run, name)
    restore(run, name, predictor.model, checkpoint)
    return predictor.predict()
