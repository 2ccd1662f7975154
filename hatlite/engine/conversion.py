"""What a stage starts with: a pipeline of converters, from the float model as it is built to what the stage needs.

A model goes through forms. It is built ``float``; ``calibration`` is its fake-quant graph with observers on; ``qat``
the same graph on integer-valued tensors, ``qat_weights`` and ``qat_activations`` on real ones of which weights, or
weights and activations, are rounded; ``integers`` an :class:`~hatlite.engine.executor_network.ExecutorNetwork`.
Each converter takes some forms and leaves one, so that a wrong order is seen before anything is built. Which pipeline a
kind of stage has by default stands in :mod:`hatlite.engine.stages`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hatlite.engine.calibrator import calibrate_briefly
from hatlite.engine.executor_network import ExecutorNetwork
from hatlite.engine.parts import qconfig_of
from hatlite.engine.qconfig_params import check_params, check_qat_mode, with_params
from hatlite.engine.run import Run, Stage
from hatlite.errors import ConfigError, StageError
from hatlite.log import get_logger
from hatlite.quantization import FakeQuantGraph, FusedNorm, QConfig
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["FORMS", "Conversion", "Converter", "ModelConvertPipeline", "form_of"]

logger = get_logger(__name__)

FORMS = ("float", "calibration", "qat_weights", "qat_activations", "qat", "integers")

_ORDERS = (
    "LoadCheckpoint, Float2Calibration; Float2QAT, LoadCheckpoint; Float2Calibration, LoadCheckpoint, Calibration2QAT;"
    " Float2QAT, LoadCheckpoint, QAT2Quantize; Float2QAT, LoadCheckpoint, EditGain; or LoadHbir alone"
)


def form_of(model: Any) -> str:
    """Return which of ``FORMS`` the detector `model` has as it was built."""
    if isinstance(model.network, ExecutorNetwork):
        return "integers"
    return "calibration" if isinstance(model.network, FakeQuantGraph) else "float"


@dataclass
class Conversion:
    """One run through a pipeline: what its converters know beside the model, and what they leave for those behind.

    Attributes:
        run: Config and folder.
        stage: Whose model it is.
        instead: What to do about a file that is missing and that no stage leaves.
        checkpoint: What a ``LoadCheckpoint`` without a path takes; None loads what the model names as pretrained.
        loop: Whose model is made ready to train: scales that are still open are calibrated on its batches. None: the
            model is restored, and every scale must be in the checkpoint.
        qconfig: What is quantised how.
        form: What the model is by now.
        open_scales: Whether the scales of the graph are not known yet.
        without_scales: Checkpoint whose scales found no place, since the model was float.
        norms: Batch norms that have become part of the layers before them.
        loaded: Path of the checkpoint that was loaded last; None before.
        loaded_stage: Name of the stage that wrote it; None before.
        graph: The fake-quant graph that ``QAT2Quantize`` lowered; None before.
    """

    run: Run
    stage: Stage
    instead: str = ""
    checkpoint: Path | None = None
    loop: Any = None
    qconfig: QConfig = field(init=False)
    form: str = field(init=False, default="float")
    open_scales: bool = field(init=False, default=False)
    without_scales: Path | None = field(init=False, default=None)
    norms: tuple[FusedNorm, ...] = field(init=False, default=())
    loaded: Any = field(init=False, default=None)
    loaded_stage: str | None = field(init=False, default=None)
    graph: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.qconfig = qconfig_of(self.run)

    def settle(self, model: Any) -> None:
        """Put a fake-quant graph that is to be trained on integers, or evaluated, into integer mode.

        Raises:
            ConfigError: A float model that is to be trained has ``quantize=True``.
            QuantizationError: A scale is not known, and there are no batches to find it with.
        """
        if self.form == "float" and self.loop is not None and getattr(model, "quantize", False):
            raise ConfigError(
                f"The model of stage {self.stage.name!r}, which trains float weights, has quantize=True, which is the"
                " fake-quant graph; give quantize=True to the model of qat_trainer alone, or leave it out, for the"
                " stages calibration and qat quantise by themselves."
            )
        if self.form in ("float", "integers") or (self.form == "calibration" and self.loop is not None):
            return
        if self.form != "qat_weights":
            self.find_scales(model)
        model.network.quantized_mode()

    def find_scales(self, model: Any) -> None:
        """Take scales that are still open from a few batches of what is going to train `model`, if anything is.

        Raises:
            StageError: The run has a stage that finds the ranges of rounded weights, and `model` comes from before it.
        """
        if not self.open_scales or self.loop is None:
            return
        calibrating = [one.name for one in self.run.stages if one.kind == "calibration_weights"]
        if model.network.simulation is not None and calibrating and self.stage.name not in calibrating:
            raise StageError(
                f"{self.loaded or 'What it starts from'} has no ranges of activations, which stage {self.stage.name!r}"
                f" needs, and no calibration of its weights lies in {self.run.folder}.\n  Run this to find them:"
                f" {self.run.command(calibrating[0])}"
            )
        batches = calibrate_briefly(self.loop)
        logger.info(
            "Stage %r starts from float weights, so its scales come from %d batches of its own training data; a"
            " calibration stage before it finds better ones.",
            self.stage.name,
            batches,
        )
        self.open_scales = False


class Converter:
    """One step of a pipeline.

    Attributes:
        takes: Forms that the model may have before it.
        leaves: The form after it; None leaves the form as it is.
    """

    takes: tuple[str, ...] = FORMS
    leaves: str | None = None
    only_loads = False
    """Whether weights are all that it brings; a stage that is resumed has its own."""

    def __call__(self, model: Any, conversion: Conversion) -> None:
        """Change `model`, a detector, in place; only ``model.network`` and its weights may change."""
        raise NotImplementedError

    @property
    def reads_stage_file(self) -> bool:
        """Whether it takes ``conversion.checkpoint``."""
        return False

    def taking(self, path: Path) -> "Converter | None":
        """Return this converter reading `path`; None for one that reads no file."""
        return None


@OBJECT_REGISTRY.register
class ModelConvertPipeline:
    """Converters, in order.

    Args:
        converters: :mod:`hatlite.engine.converters` has them; one of your own is a registered :class:`Converter`.
        qat_mode: ``"fuse_bn"``: batch norms keep their statistics; ``"with_bn"``: they move. None and a config that
            names none leave it to ``config['qconfig']``. It is part of the network, so all stages of a run have one.
        qconfig_params: Changes of ``config['qconfig']`` for this pipeline alone:
            ``activation_calibration_observer`` and ``activation_calibration_qkwargs`` are the observer of activations;
            ``weight_calibration_observer="min_max"``, ``activation_qat_qkwargs=dict(averaging_constant=0)`` and
            ``weight_qat_qkwargs=dict(averaging_constant=1)`` are what hatlite always does.

    Raises:
        ConfigError: The converters cannot follow one another, or a value has no counterpart.
    """

    def __init__(
        self,
        converters: Sequence[Converter],
        qat_mode: str | None = None,
        qconfig_params: Mapping[str, Any] | None = None,
    ) -> None:
        self.converters = tuple(converters)
        self.qat_mode = qat_mode
        self.qconfig_params = dict(qconfig_params or {})
        check_qat_mode(qat_mode)
        check_params(self.qconfig_params)
        self.leaves()

    def leaves(self, form: str = "float") -> str:
        """Return the form in which a model of `form` comes out.

        Raises:
            ConfigError: A converter does not take what the ones before it leave.
        """
        for index, converter in enumerate(self.converters):
            if not isinstance(converter, Converter):
                raise ConfigError(f"ModelConvertPipeline: converters[{index}] is {converter!r}; expected a converter.")
            if form not in converter.takes:
                raise ConfigError(
                    f"ModelConvertPipeline: converters[{index}], {type(converter).__name__}, takes a model in the form"
                    f" {' or '.join(converter.takes)}, which is {form!r} there. Orders that work: {_ORDERS}."
                )
            form = converter.leaves or form
        return form

    def __call__(self, model: Any, conversion: Conversion) -> None:
        """Bring `model`, freshly built, into the form that the last converter leaves.

        Raises:
            CheckpointError, ConfigError, ProgramError, QuantizationError: A converter cannot do its part.
        """
        conversion.form = form_of(model)
        self.leaves(conversion.form)
        conversion.qconfig = with_params(conversion.qconfig, self.qat_mode, self.qconfig_params)
        for converter in self.converters:
            converter(model, conversion)
            conversion.form = converter.leaves or conversion.form
        conversion.settle(model)

    @property
    def reads_stage_file(self) -> bool:
        """Whether a converter takes the file that the stage starts from, or leaves."""
        return any(converter.reads_stage_file for converter in self.converters)

    def taking(self, path: Path) -> "ModelConvertPipeline | None":
        """Return this pipeline with `path` in the place of the last file that it reads; None if it reads none."""
        for index in reversed(range(len(self.converters))):
            other = self.converters[index].taking(path)
            if other is not None:
                changed = (*self.converters[:index], other, *self.converters[index + 1 :])
                return ModelConvertPipeline(changed, self.qat_mode, self.qconfig_params)
        return None

    def resuming(self, state: Converter) -> "ModelConvertPipeline":
        """Return this pipeline with `state`, which loads a checkpoint of the same form, for all that loads weights."""
        kept = [converter for converter in self.converters if not converter.only_loads]
        return ModelConvertPipeline([*kept, state], self.qat_mode, self.qconfig_params)

    def before_integers(self) -> "ModelConvertPipeline":
        """Return this pipeline without the converters that leave integers."""
        kept = [converter for converter in self.converters if converter.leaves != "integers"]
        return ModelConvertPipeline(kept, self.qat_mode, self.qconfig_params)
