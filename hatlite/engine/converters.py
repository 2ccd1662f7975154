"""The converters that a :class:`~hatlite.engine.conversion.ModelConvertPipeline` is made of."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from hatlite import class_names
from hatlite.engine.checkpoint import (
    check_resumable,
    has_sites,
    load_checkpoint,
    load_weights,
    say_what_is_left,
)
from hatlite.engine.conversion import FORMS, Conversion, Converter
from hatlite.engine.executor_network import ExecutorNetwork
from hatlite.engine.host_facts import host_facts, other_pixels, require_trained_pixels
from hatlite.engine.parts import quantize
from hatlite.engine.pretrained import load_pretrained
from hatlite.engine.program_files import is_program, load_program
from hatlite.engine.run import Run, Stage
from hatlite.engine.weights_hash import lacks_ranges, with_ranges
from hatlite.errors import CheckpointError, ConfigError, ProgramError, QuantizationError, StageError
from hatlite.log import get_logger
from hatlite.lowering import lower
from hatlite.march import get_march
from hatlite.program import IntProgram
from hatlite.quantization import Simulation, fold_state
from hatlite.registry import OBJECT_REGISTRY, nearest

__all__ = [
    "CONVERT_MODES",
    "Calibration2QAT",
    "Float2Calibration",
    "Float2QAT",
    "LoadCheckpoint",
    "LoadHbir",
    "QAT2Quantize",
    "ResumeState",
    "how_to_get",
    "lower_detector",
    "require_program",
    "take_origin",
    "take_own",
]

logger = get_logger(__name__)

CONVERT_MODES = ("eager", "fx", "jit", "jit-strip")
"""Ways to capture a network that configs name. hatlite has one (:mod:`hatlite.graph`), which all of them mean."""

_HASH = re.compile(r"-([0-9a-f]{8,64})\.pth(\.tar)?$")


@OBJECT_REGISTRY.register
@dataclass(frozen=True)
class LoadCheckpoint(Converter):
    """Load weights, and scales where the model has a place for them.

    Attributes:
        checkpoint_path: File; None is what the stage starts from, or leaves when it is restored (``--ckpt`` names
            another), or what ``model['pretrained']`` names where there is nothing to start from.
        allow_miss: Entries that the checkpoint lacks keep the values they have.
        ignore_extra: Entries that the model lacks are left out.
        check_hash: A name that ends in ``-<first digits of the SHA-256>.pth.tar``, and the hash in a file
            ``<name>.sha256`` beside it, must belong to the content.
        verbose: Log what was missed and left out.
        state_dict_update_func: ``state_dict -> state_dict``, called before anything is compared.
    """

    checkpoint_path: str | Path | None = None
    allow_miss: bool = False
    ignore_extra: bool = False
    check_hash: bool = True
    verbose: bool = False
    state_dict_update_func: Callable | None = None

    takes = FORMS[:-1]
    only_loads = True

    @property
    def reads_stage_file(self) -> bool:
        return self.checkpoint_path is None

    def taking(self, path: Path) -> Converter | None:
        return replace(self, checkpoint_path=path)

    def __call__(self, model: Any, conversion: Conversion) -> None:
        run, stage = conversion.run, conversion.stage
        path = Path(self.checkpoint_path) if self.checkpoint_path is not None else conversion.checkpoint
        if path is None:
            load_pretrained(model, run.info(stage.name))
            return
        state = load_checkpoint(path, hint=how_to_get(run, conversion.instead, path))
        if self.check_hash:
            require_hash(path)
        if conversion.loop is None:
            require_trained_pixels(run, state, path)
        if conversion.form == "qat_activations":
            path, state = with_ranges(run, path, state)
        scales = has_sites(state)
        if conversion.open_scales and conversion.loop is None and not scales:
            raise CheckpointError(without_scales(run, stage, path, state["stage"]))
        load_weights(
            model,
            state,
            path=path,
            run=run.info(stage.name),
            need_sites=conversion.form != "float" and (scales or conversion.loop is None),
            allow_miss=self.allow_miss,
            ignore_extra=self.ignore_extra,
            new_ranges=lacks_ranges(state) or (conversion.form == "calibration" and conversion.loop is not None),
            verbose=self.verbose,
            update=self._folding(conversion),
        )
        if conversion.form == "float" and conversion.loop is not None:
            say_what_is_left(state, path)
        conversion.loaded, conversion.loaded_stage = path, state["stage"]
        if conversion.form != "float":
            conversion.open_scales = not model.network.is_calibrated
        if conversion.open_scales and conversion.loop is None and conversion.form != "qat_weights":
            raise CheckpointError(without_scales(run, stage, path, state["stage"]))
        conversion.without_scales = path if scales and conversion.form == "float" else None
        run.classes = run.classes or tuple(state["classes"])
        if path == run.checkpoint(state["stage"], "last") and state["epoch"] < state["num_epochs"]:
            logger.warning("%s was written after %d of %d epochs.", path, state["epoch"], state["num_epochs"])

    def _folding(self, conversion: Conversion) -> Callable | None:
        """Return what changes the weights of a file: the given function, then folding what the model has folded."""
        given, norms = self.state_dict_update_func, conversion.norms
        if not norms:
            return given
        return lambda weights: fold_state(weights if given is None else given(weights), norms, "network.")


@dataclass(frozen=True)
class ResumeState(Converter):
    """Load the weights and scales that a stage was interrupted with, not deployed ones, before it goes on.

    Attributes:
        state: Checkpoint of the stage itself.
        path: Its file, for messages.
    """

    state: Mapping[str, Any]
    path: Path

    def __call__(self, model: Any, conversion: Conversion) -> None:
        check_resumable(model, self.state, path=self.path, run=conversion.run.info(conversion.stage.name))
        model.load_state_dict(self.state["state_dict"])
        conversion.loaded, conversion.loaded_stage = self.path, self.state["stage"]
        conversion.open_scales = False


@dataclass(frozen=True)
class _Converts(Converter):
    """What converters that change the form have in common.

    Attributes:
        convert_mode: ``eager``, ``fx``, ``jit`` or ``jit-strip``; all mean the one capture that hatlite has.
    """

    convert_mode: str = "fx"

    def __post_init__(self) -> None:
        if self.convert_mode not in CONVERT_MODES:
            raise ConfigError(
                f"{type(self).__name__}: convert_mode is {self.convert_mode!r}; expected one of"
                f" {', '.join(CONVERT_MODES)}, which are one here."
                f"{nearest(str(self.convert_mode), list(CONVERT_MODES))}"
            )


@OBJECT_REGISTRY.register
@dataclass(frozen=True)
class Float2Calibration(_Converts):
    """Replace the network by its fake-quant graph, for observers to watch.

    Attributes:
        rounded_weights: Ranges are those that values have behind rounded weights, and what is evaluated afterwards has
            rounded weights and activations, on real values.
    """

    rounded_weights: bool = False

    takes = ("float",)
    leaves = "calibration"

    def __call__(self, model: Any, conversion: Conversion) -> None:
        conversion.norms += quantize(conversion.run, model, conversion.qconfig)
        if self.rounded_weights:
            model.network.simulation = Simulation(weights=True, activations=True)
        conversion.open_scales = True


@OBJECT_REGISTRY.register
class Float2QAT(_Converts):
    """Replace the network by its fake-quant graph, to compute on integers once its scales are known."""

    takes = ("float",)
    leaves = "qat"
    simulation: ClassVar[Simulation | None] = None

    def __call__(self, model: Any, conversion: Conversion) -> None:
        if conversion.without_scales is not None:
            name = type(self).__name__
            raise ConfigError(
                f"LoadCheckpoint took the weights of {conversion.without_scales} into the float model and lost its"
                f" scales, which {name} behind it needs; write {name} first, then LoadCheckpoint."
            )
        conversion.norms += quantize(conversion.run, model, conversion.qconfig)
        model.network.simulation = self.simulation or model.network.simulation
        conversion.open_scales = True


@OBJECT_REGISTRY.register
class Calibration2QAT(_Converts):
    """Let a calibrated graph compute on integers, with the scales of the checkpoint that was loaded into it."""

    takes = ("calibration",)
    leaves = "qat"

    def __call__(self, model: Any, conversion: Conversion) -> None:
        """The graph is the same; that it leaves the form `qat` is all."""


@OBJECT_REGISTRY.register
class QAT2Quantize(_Converts):
    """Lower the fake-quant graph to an integer program, in memory, and let the executor run it."""

    takes = ("qat",)
    leaves = "integers"

    def __call__(self, model: Any, conversion: Conversion) -> None:
        conversion.settle(model)
        try:
            lowered = lower_detector(conversion.run, model)
        except QuantizationError as problem:
            raise QuantizationError(f"{origin_of(conversion)}: {problem}{next_step(conversion)}") from None
        conversion.graph = model.network
        model.network = ExecutorNetwork(lowered, device=conversion.run.device)


@OBJECT_REGISTRY.register
@dataclass(frozen=True)
class LoadHbir(Converter):
    """Put a saved integer program in the place of the network.

    Attributes:
        model_path: ``.hbir`` file, or ``.bc`` as others call it; None is the one that the run leaves.
    """

    model_path: str | Path | None = None

    takes = ("float", "integers")
    leaves = "integers"

    def taking(self, path: Path) -> Converter | None:
        return replace(self, model_path=path) if is_program(path) else None

    def __call__(self, model: Any, conversion: Conversion) -> None:
        run = conversion.run
        path = Path(self.model_path) if self.model_path is not None else run.program()
        require_program(run, path)
        loaded = load_program(path)
        require_own(run, loaded, path)
        model.network = ExecutorNetwork(loaded, device=run.device)


def origin_of(conversion: Conversion) -> str:
    """Return which checkpoint was loaded last, as far as one was."""
    if conversion.loaded is None:
        return conversion.run.source
    return f"{conversion.loaded}, of stage {conversion.loaded_stage!r}"


def next_step(conversion: Conversion) -> str:
    """Return the command of the stage that leaves what can be lowered, if what was loaded is of another."""
    wanted = conversion.stage.starts_from
    if not wanted or conversion.loaded_stage in wanted:
        return ""
    return f"\n  That is stage {wanted[0]!r}: {conversion.run.command(wanted[0])}"


def lower_detector(run: Run, model: Any) -> IntProgram:
    """Lower the fake-quant network of `model` for the run's march."""
    metadata = {"task_name": run.task_name, "classes": list(run.classes), "num_classes": run.config["num_classes"]}
    if model.network.gain_edits:
        metadata |= {"caps": list(model.network.caps().values()), **host_facts(run)}
    return lower(model.network, get_march(run.config["march"]), name=run.task_name, metadata=metadata)


def require_hash(path: Path) -> None:
    """Compare a checkpoint's content with the digits at the end of its name and with the file that holds its hash.

    Raises:
        CheckpointError: They differ.
    """
    digits, beside = _HASH.search(path.name), path.with_name(f"{path.name}.sha256")
    if digits is None and not beside.is_file():
        return
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    if digits is not None and not content.startswith(digits[1]):
        raise CheckpointError(
            f"{path} was changed after it was named: its SHA-256 begins with {content[: len(digits[1])]}; rename it, or"
            " give LoadCheckpoint check_hash=False."
        )
    if beside.is_file() and beside.read_text(errors="replace").split()[:1] != [content]:
        raise CheckpointError(
            f"{path} is not the file whose hash {beside.name} holds: its SHA-256 is {content}; restore it, remove that"
            " file, or give LoadCheckpoint check_hash=False."
        )


def require_program(run: Run, path: Path) -> None:
    """Refuse to go on without the file of the integer program.

    Raises:
        StageError: It does not exist; the message holds the command that makes it.
    """
    if not path.is_file():
        raise StageError(f"There is no program {path}.\n  {how_to_get(run, take_own(run.program()), path)}")


def require_own(run: Run, loaded: IntProgram, path: Path) -> None:
    """Refuse a program that another config was lowered to.

    Raises:
        ProgramError: Its task, march, classes, image size or pixels are not the run's.
    """
    own = {key: run.config[key] for key in ("task_name", "march", "num_classes") if key in run.config}
    theirs = {**loaded.metadata, "march": loaded.march}
    if "deploy_inputs" in run.config:
        own["image size"] = _size(*run.config["deploy_inputs"]["img"].shape[-2:])
        theirs["image size"] = _size(*loaded.values[loaded.inputs[0].value].shape[:2])
    differ = [f"{key} is {theirs[key]!r} and not {own[key]!r}" for key in own if theirs.get(key, own[key]) != own[key]]
    differ += other_pixels(loaded.metadata, host_facts(run)) if loaded.metadata.get("image_format") else []
    classes = class_names.difference(loaded.metadata.get("classes") or run.classes, run.classes, "it", "the config")
    differ += [f"classes are others ({classes})"] if run.classes and classes else []
    if differ:
        other = "the config and --opts that it was lowered with" if _same(path, run.program()) else run.program()
        raise ProgramError(
            f"{path} belongs to another config: its {', its '.join(differ)}.\n  Take {other}, or run stage 'int_infer'"
            " again."
        )


def _size(height: int, width: int) -> str:
    return f"{height}×{width}"


def without_scales(run: Run, stage: Stage, path: Path, origin: str) -> str:
    """Return what is wrong with a float checkpoint where a quantised `stage` is to be restored, and what to do."""
    kinds = ("calibration", "calibration_weights", "qat")
    finding = next((one.name for one in run.stages if one.kind in kinds), stage.name)
    return (
        f"{path} is of stage {origin!r} and has no scales, which stage {stage.name!r} needs: it rounds activations."
        f"\n  Run this to find them: {run.command(finding)}"
    )


def how_to_get(run: Run, instead: str, path: Path) -> str:
    """Return what to do about a `path` of no use: run what leaves it, or `instead`, where no stage does."""
    if _same(path, run.program()):
        return f"Export it first: {run.command(tool='tools/export_hbir.py')}"
    for stage in run.stages:
        if any(_same(path, run.checkpoint(stage.name, which)) for which in ("best", "last")):
            return f"Run this first: {run.command(stage.name)}"
    return instead


def _same(path: str | Path, other: Path) -> bool:
    return Path(path).resolve() == other.resolve()


def take_own(path: Path) -> str:
    """Return what to do where a stage is looked at and its file, `path`, would do."""
    return f"Name another file, or take {path}."


def take_origin(run: Run, stage: Stage, checkpoint: Path | None) -> str:
    """Return what to do where `stage` starts and its pipeline, or ``--ckpt`` (`checkpoint`), names no file."""
    named = "checkpoint_path" if checkpoint is None else "--ckpt"
    if not stage.starts_from:
        return f"Name another file, or leave {named} out to start from nothing."
    paths = [run.checkpoint(name) for name in stage.starts_from]
    found = next((path for path in paths if path.is_file()), None)
    make = "." if found else f", which this makes: {run.command(stage.starts_from[0])}"
    return f"Name another file, or leave {named} out to start from {found or paths[0]}{make}"
