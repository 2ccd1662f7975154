"""A detector whose network is a saved integer program, as a config names it: ``hbir_infer_model``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hatlite import program
from hatlite.engine.executor_network import ExecutorNetwork
from hatlite.errors import BuildError, ProgramError
from hatlite.program import IntProgram
from hatlite.registry import OBJECT_REGISTRY
from hatlite.structures import Detections

__all__ = ["FCOSIrInfer", "HbirModule"]

CLASS_OUTPUT = "cls_logits_s"


@OBJECT_REGISTRY.register
class HbirModule(ExecutorNetwork):
    """The network of a ``.hbir`` file, run by the executor on integers.

    Args:
        model_path: The file, or a ``.bc`` as others call it.
        engine: Of the executor.
        device: Of the executor.

    Raises:
        ProgramError: The file is missing or damaged.
    """

    def __init__(self, model_path: str | Path, engine: str = "auto", device: str | None = None) -> None:
        if not Path(model_path).is_file():
            raise ProgramError(
                f"There is no program {model_path}; export it with tools/export_hbir.py, which writes <task_name>.hbir"
                " into ckpt_dir, and name that file in model_path."
            )
        super().__init__(program.load(model_path), engine, device)


@OBJECT_REGISTRY.register
class FCOSIrInfer(nn.Module):
    """FCOS of which an integer program is left: outputs become objects, and there is nothing to train.

    Args:
        ir_model: The program's network.
        post_process: Makes objects of its outputs, such as ``FCOSDecoder``. Distances are always multiplied by the
            stride, whichever place asked for it in training.

    Raises:
        BuildError: The program's outputs are not those of FCOS, or do not fit `post_process`.
    """

    def __init__(self, ir_model: HbirModule, post_process: nn.Module) -> None:
        super().__init__()
        self.network, self.post_process = ir_model, post_process
        self.num_classes, self.strides = _levels(ir_model.executor.program)
        post_process.bind(self.num_classes, self.strides)

    def forward(self, batch: Mapping[str, Any]) -> list[Detections]:
        """Return the objects of every image of `batch`, in either mode."""
        return self.detect(self.network(batch["img"]), batch)

    def detect(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> list[Detections]:
        """Return the objects of every image from the `outputs` of ``network``."""
        return self.post_process(outputs, batch)

    def compute_losses(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Return nothing: a program has no targets."""
        return {}


def _levels(loaded: IntProgram) -> tuple[int, tuple[int, ...]]:
    """Return the number of classes and the strides that the outputs of `loaded` tell."""
    channels = {
        int(port.name.removeprefix(CLASS_OUTPUT)): loaded.values[port.value].shape[-1]
        for port in loaded.outputs
        if port.name.startswith(CLASS_OUTPUT)
    }
    if not channels:
        names = ", ".join(port.name for port in loaded.outputs)
        raise BuildError(
            f"FCOSIrInfer: the program {loaded.name!r} has the outputs {names}; those of FCOS are cls_logits_s8,"
            " bbox_regression_s8, centerness_s8 and so on."
        )
    return next(iter(channels.values())), tuple(channels)
