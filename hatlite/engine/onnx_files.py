"""What a run leaves as ONNX files: its integer program, or the float network that it began with."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hatlite.engine.alignment import validation_images
from hatlite.engine.converters import require_program
from hatlite.engine.kinds import program_stage, restore
from hatlite.engine.parts import example_image
from hatlite.engine.run import Run
from hatlite.export import to_onnx
from hatlite.extras import import_extra
from hatlite.files import whole_file
from hatlite.ops.integer.fixed_point import quantize
from hatlite.program import IntProgram, load
from hatlite.registry import OBJECT_REGISTRY

if TYPE_CHECKING:
    from hatlite.analysis.onnx_check import OnnxReport

__all__ = ["export_float", "export_program", "run_program", "verify_export"]

FLOAT_OPSET = 17


def run_program(run: Run, path: str | os.PathLike[str] | None = None) -> IntProgram:
    """Return the program in `path`, or the one that the run has left.

    Raises:
        StageError: The run has no program; the message says what makes it.
        ProgramError: The file cannot be used.
    """
    if path is not None:
        return load(path)
    program_stage(run)
    require_program(run, run.program())
    return load(run.program())


def export_program(program: IntProgram, out: Path, form: str, *, real: bool = False) -> None:
    """Write `program` to `out` in one of the forms of :func:`hatlite.export.to_onnx`.

    Raises:
        MissingExtraError: The extra ``hatlite[onnx]`` is not installed.
        ProgramError: The program has no such form.
        OutputError: The file cannot be written.
    """
    model = to_onnx(program, form, real=real)
    with whole_file(out) as unfinished:
        unfinished.write_bytes(model.SerializeToString())


class _Network(nn.Module):
    """A network whose outputs are a tuple, as ONNX wants them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, img: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.network(img).values())


@torch.no_grad()
def export_float(run: Run, out: Path) -> None:
    """Write the float network, with the weights of the run's float stage, to `out`; it needs no exporter but torch's.

    Raises:
        MissingExtraError: The extra ``hatlite[onnx]`` is not installed.
        StageError: The float stage has left no checkpoint.
    """
    import_extra("hatlite.export.onnx_model", "onnx")  # torch would say so less plainly
    model: Any = OBJECT_REGISTRY.build(run.config["model"], path="['model']")
    restore(run, "float", model)
    network, img = model.network.eval(), example_image(run)
    names = list(network(img))
    axes = {name: {0: "N"} for name in ("img", *names)}
    fields = {"input_names": ["img"], "output_names": names, "dynamic_axes": axes, "opset_version": FLOAT_OPSET}
    with whole_file(out) as unfinished, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's newer exporter needs a package more, so the older one it is
        torch.onnx.export(_Network(network), (img,), unfinished, dynamo=False, **fields)


def verify_export(run: Run, out: Path, program: IntProgram, num_images: int) -> "OnnxReport":
    """Compare the file `out` with the executor on the first validation images, and on all thresholds, pairs and tables.

    Raises:
        MissingExtraError: The extra ``hatlite[onnx]`` is not installed.
        ProgramError: ONNX Runtime cannot load the file.
    """
    port = program.inputs[0]
    images = validation_images(run, num_images) if num_images else ()
    batches = ({port.name: quantize(img.permute(0, 2, 3, 1).numpy(), float(port.scale), port.dtype)} for img in images)
    return import_extra("hatlite.analysis.onnx_check", "onnx").verify_onnx(out, program, batches)
