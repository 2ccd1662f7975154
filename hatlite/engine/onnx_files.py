"""What a run leaves as ONNX files: its integer program, or the float network that it began with."""

import io
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hatlite.engine.alignment import validation_batches, validation_images
from hatlite.engine.converters import require_own, require_program
from hatlite.engine.evaluation import evaluating
from hatlite.engine.executor_network import ExecutorNetwork
from hatlite.engine.infer_settings import validation_transforms
from hatlite.engine.input_pixels import describe_pixels
from hatlite.engine.kinds import program_stage, restore
from hatlite.engine.onnx_note import OnnxNetwork, write_onnx
from hatlite.engine.parts import example_image
from hatlite.engine.run import Run
from hatlite.export import exact_outputs, to_onnx
from hatlite.extras import import_extra
from hatlite.ops.integer.fixed_point import quantize
from hatlite.program import IntProgram, load
from hatlite.registry import OBJECT_REGISTRY

if TYPE_CHECKING:
    from onnx import ModelProto

    from hatlite.analysis.onnx_check import OnnxReport
    from hatlite.analysis.onnx_detections import DetectionReport

__all__ = ["export_float", "export_program", "run_program", "verify_detections", "verify_export"]

FLOAT_OPSET = 17


def run_program(run: Run, path: str | os.PathLike[str] | None = None) -> IntProgram:
    """Return the program in `path`, or the one that the run has left.

    Raises:
        StageError: The run has no program; the message says what makes it.
        ProgramError: The file cannot be used, or belongs to another config.
    """
    chosen = run.program() if path is None else Path(path)
    if path is None:
        program_stage(run)
        require_program(run, chosen)
    loaded = load(chosen)
    require_own(run, loaded, chosen)
    return loaded


def export_program(
    run: Run, program: IntProgram, out: Path, form: str, *, real: bool = False, detect: bool = False
) -> str:
    """Write `program` to `out` in one of the forms of :func:`hatlite.export.to_onnx`, and what belongs to it.

    Args:
        run: Its config's model says what is done with the outputs.
        program: What is written.
        out: As :func:`~hatlite.engine.onnx_note.write_onnx` has it, which returns what is printed.
        form: Of the operators.
        real: Float ends instead of integers; `detect` has them always.
        detect: With decoding and suppression in the file.

    Raises:
        MissingExtraError: The extra ``hatlite[onnx]`` is not installed.
        ConfigError, BuildError: The detector cannot be put into the file.
        ProgramError: The program has no such form.
        OutputError: A file cannot be written.
    """
    real = real or detect
    model = to_onnx(program, form, real=real)
    ports = (*program.inputs, *program.outputs)
    sizes = {port.name: program.values[port.value].shape for port in ports}
    task = program.metadata.get("task_name", program.name)
    network = OnnxNetwork(
        model,
        OBJECT_REGISTRY.build(run.config["model"], path="['model']") if "model" in run.config else None,
        shapes={name: (channels, height, width) for name, (height, width, channels) in sizes.items()},
        strides={port.name: port.stride for port in ports},
        scales={} if real else {port.name: port.scale for port in ports},
        origin=f"The program {program.name!r}",
        metadata=_known(run, program.metadata.get("classes", ()))
        | {"task": task, "march": program.march, "form": form},
    )
    return write_onnx(network, out, detect=detect)


class _Network(nn.Module):
    """A network whose outputs are a tuple, as ONNX wants them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, img: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.network(img).values())


@torch.no_grad()
def export_float(run: Run, out: Path, *, detect: bool = False) -> str:
    """Write the float network, with the weights of the run's float stage, to `out`; it needs no exporter but torch's.

    Args:
        run: Config and folder.
        out: As :func:`~hatlite.engine.onnx_note.write_onnx` has it, which returns what is printed.
        detect: With decoding and suppression in the file.

    Raises:
        MissingExtraError: The extra ``hatlite[onnx]`` is not installed.
        ConfigError, BuildError: The detector cannot be put into the file.
        StageError: The float stage has left no checkpoint.
        OutputError: A file cannot be written.
    """
    import_extra("hatlite.export.onnx_model", "onnx")  # torch would say so less plainly
    model = _float_detector(run)
    img = example_image(run, model)
    outputs = model.network(img)
    network = OnnxNetwork(
        _traced(model.network, img, list(outputs)),
        model,
        shapes={name: tuple(x.shape[1:]) for name, x in {"img": img, **outputs}.items()},
        strides=getattr(model.network, "output_strides", None) or _strides(img, outputs),
        scales={},
        origin="The float network",
        metadata=_known(run, run.classes) | {"task": run.task_name, "form": "float"},
    )
    return write_onnx(network, out, detect=detect)


def _known(run: Run, classes: Sequence[str]) -> dict[str, Any]:
    """Return what whoever uses the file has to know and the network does not say: classes, and what pixels become."""
    known = {"classes": list(classes), "pixels": describe_pixels(validation_transforms(run))}
    return {key: value for key, value in known.items() if value}


def _float_detector(run: Run) -> Any:
    model: Any = OBJECT_REGISTRY.build(run.config["model"], path="['model']")
    restore(run, "float", model)
    return model.eval()


def _strides(img: torch.Tensor, outputs: Mapping[str, torch.Tensor]) -> dict[str, int]:
    return {name: round(img.shape[-1] / x.shape[-1]) for name, x in outputs.items()}


def _traced(network: nn.Module, img: torch.Tensor, names: list[str]) -> "ModelProto":
    """Return what torch makes of `network`; its newer exporter needs a package more, so it is the older one."""
    axes = {name: {0: "N"} for name in ("img", *names)}
    fields = {"input_names": ["img"], "output_names": names, "dynamic_axes": axes, "opset_version": FLOAT_OPSET}
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's age
        torch.onnx.export(_Network(network), (img,), written, dynamo=False, **fields)
    return import_extra("onnx", "onnx").load_from_string(written.getvalue())


def verify_export(run: Run, out: Path, program: IntProgram, num_images: int) -> "OnnxReport":
    """Compare the file `out` with the executor on the first validation images, and on all thresholds, pairs and tables.

    Raises:
        MissingExtraError: The extra ``hatlite[onnx]`` is not installed.
        ProgramError: ONNX Runtime cannot load the file.
    """
    port = program.inputs[0]
    images = validation_images(run, num_images) if num_images else ()
    form = float(port.scale), port.dtype, program.values[port.value].limits
    batches = ({port.name: quantize(img.permute(0, 2, 3, 1).numpy(), *form)} for img in images)
    return import_extra("hatlite.analysis.onnx_check", "onnx").verify_onnx(out, program, batches)


def verify_detections(
    run: Run, out: Path, num_images: int, program: IntProgram | None = None, form: str = "float"
) -> "DetectionReport":
    """Compare the objects of the file `out` with the detector's own on the first validation images.

    Args:
        run: Config, data and folder.
        out: Written with `detect`.
        num_images: At least 1.
        program: What it was written from; None for the float network.
        form: Of the program.

    Raises:
        MissingExtraError: The extra ``hatlite[onnx]`` is not installed.
        ProgramError: ONNX Runtime cannot load the file.
    """
    if program is None:
        model, promised = _float_detector(run), True
    else:
        model = OBJECT_REGISTRY.build(run.config["model"], path="['model']").eval()
        model.network = ExecutorNetwork(program)
        promised = len(exact_outputs(program, form)) == len(program.outputs)
    check = import_extra("hatlite.analysis.onnx_detections", "onnx")
    with evaluating(model):
        samples = (_expected(model, batch, check.ExpectedObjects) for batch in validation_batches(run, num_images))
        return check.verify_detections(out, samples, form=form, promised=promised)


def _expected(model: Any, batch: Mapping[str, Any], kind: Any) -> Any:
    found = model.detect(model.network(batch["img"]), batch)[0]
    return kind(batch["img"], found, lambda boxes: model.post_process.place(boxes, batch, 0))
