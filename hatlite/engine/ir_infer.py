"""A detector whose network is a saved integer program, as a config names it: ``hbir_infer_model``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hatlite.engine.executor_network import ExecutorNetwork
from hatlite.engine.program_files import load_program
from hatlite.errors import BuildError, ProgramError
from hatlite.models import SSD, DeltaXYWHCoder, RetinaNet
from hatlite.models.agreement import agree
from hatlite.models.anchors import CellAnchors
from hatlite.models.detectors.anchor_detector import AnchorDetector
from hatlite.models.postprocess.anchor_decoder import AnchorDecoder
from hatlite.models.predictions import GRID_BOX_CHANNELS
from hatlite.program import IntProgram
from hatlite.registry import OBJECT_REGISTRY
from hatlite.structures import Detections

__all__ = ["FCOSIrInfer", "GNetDetIrInfer", "HbirModule", "RetinaNetIrInfer", "SSDIrInfer"]


@OBJECT_REGISTRY.register
class HbirModule(ExecutorNetwork):
    """The network of a ``.hbir`` file or a chip model, run by the executor on integers.

    Args:
        model_path: The file, or a ``.bc`` as others call it, or an ``out.model``.
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
        super().__init__(load_program(Path(model_path)), engine, device)


class IrInfer(nn.Module):
    """A detector of which an integer program is left: outputs become objects, and there is nothing to train.

    Args:
        ir_model: The program's network.
        post_process: Makes objects of its outputs.

    Raises:
        BuildError: The program has no outputs of :attr:`class_output`.
    """

    class_output = "cls_logits_s"
    """How the names of outputs begin that tell the classes; the stride follows."""
    expected_outputs = "cls_logits_s8, bbox_regression_s8 and so on"
    """What the detector has, for messages."""

    def __init__(self, ir_model: HbirModule, post_process: nn.Module) -> None:
        super().__init__()
        self.network, self.post_process = ir_model, post_process
        self.channels = self._class_channels(ir_model.executor.program)
        self.strides = tuple(self.channels)

    def forward(self, batch: Mapping[str, Any]) -> list[Detections]:
        """Return the objects of every image of `batch`, in either mode."""
        return self.detect(self.network(batch["img"]), batch)

    def detect(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> list[Detections]:
        """Return the objects of every image from the `outputs` of ``network``."""
        return self.post_process(outputs, batch)

    def compute_losses(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Return nothing: a program has no targets."""
        return {}

    def _class_channels(self, loaded: IntProgram) -> dict[int, int]:
        """Return the channels of the outputs of `loaded` that tell the classes, by stride."""
        channels = {
            int(port.name.removeprefix(self.class_output)): loaded.values[port.value].shape[-1]
            for port in loaded.outputs
            if port.name.startswith(self.class_output)
        }
        if not channels:
            names = ", ".join(port.name for port in loaded.outputs)
            raise BuildError(
                f"{type(self).__name__}: the program {loaded.name!r} has the outputs {names}; expected"
                f" {self.expected_outputs}."
            )
        return channels


@OBJECT_REGISTRY.register
class FCOSIrInfer(IrInfer):
    """FCOS of which an integer program is left.

    Args:
        ir_model: The program's network.
        post_process: Makes objects of its outputs, such as ``FCOSDecoder``. Distances are always multiplied by the
            stride, whichever place asked for it in training.

    Raises:
        BuildError: The program's outputs are not those of FCOS, or do not fit `post_process`.
    """

    expected_outputs = "cls_logits_s8, bbox_regression_s8, centerness_s8 and so on"

    def __init__(self, ir_model: HbirModule, post_process: nn.Module) -> None:
        super().__init__(ir_model, post_process)
        self.num_classes = next(iter(self.channels.values()))
        post_process.bind(self.num_classes, self.strides)


@OBJECT_REGISTRY.register
class GNetDetIrInfer(IrInfer):
    """GNetDet of which an integer program is left.

    Args:
        ir_model: The program's network.
        post_process: Makes objects of its output, such as ``GridDecoder``.

    Raises:
        BuildError: The program's outputs are not the one of GNetDet, or do not fit `post_process`.
    """

    class_output = "predictions_s"
    expected_outputs = "one, predictions_s32 or predictions_s16, with 10 channels and one per class"

    def __init__(self, ir_model: HbirModule, post_process: nn.Module) -> None:
        super().__init__(ir_model, post_process)
        ((_, channels), *others) = self.channels.items()
        if others or channels <= GRID_BOX_CHANNELS:
            found = ", ".join(f"{self.class_output}{stride} with {c}" for stride, c in self.channels.items())
            raise BuildError(
                f"{type(self).__name__}: the program {ir_model.executor.program.name!r} has the outputs {found}"
                f" channels; expected {self.expected_outputs}."
            )
        self.num_classes = channels - GRID_BOX_CHANNELS
        post_process.bind(self.num_classes, self.strides)


class AnchorIrInfer(IrInfer):
    """A detector with anchors of which an integer program is left; what stood around its network is given anew.

    Args:
        ir_model: The program's network.
        post_process: Makes objects of its outputs.
        anchor_generator: The one of the head that was trained, such as ``model["head"]["anchor_generator"]``.
        box_coder: The one of the detector that was trained; None has that detector's own stds.

    Raises:
        BuildError: The program's outputs do not fit the anchors or `post_process`, or its image is not theirs.
    """

    detector: type[AnchorDetector]
    """What was trained."""

    def __init__(
        self,
        ir_model: HbirModule,
        post_process: AnchorDecoder,
        anchor_generator: CellAnchors,
        box_coder: DeltaXYWHCoder | None = None,
    ) -> None:
        super().__init__(ir_model, post_process)
        name, background = type(self).__name__, self.detector.softmax
        strides = (f"what the program {ir_model.executor.program.name!r} has", self.strides)
        agree("the strides of the outputs", strides, (f"{name}: anchor_generator.strides", anchor_generator.strides))
        self.num_classes = _classes(name, self.channels, anchor_generator, background)
        _require_image(name, ir_model.executor.program, anchor_generator)
        coder = DeltaXYWHCoder(stds=self.detector.coder_stds) if box_coder is None else box_coder
        post_process.bind(self.num_classes, self.strides)
        post_process.bind_anchors(anchor_generator, coder, background)


@OBJECT_REGISTRY.register
class SSDIrInfer(AnchorIrInfer):
    """SSD of which an integer program is left; arguments and errors are those of :class:`AnchorIrInfer`."""

    detector = SSD


@OBJECT_REGISTRY.register
class RetinaNetIrInfer(AnchorIrInfer):
    """RetinaNet of which an integer program is left; arguments and errors are those of :class:`AnchorIrInfer`."""

    detector = RetinaNet


def _classes(kind: str, channels: Mapping[int, int], anchors: CellAnchors, background: bool) -> int:
    """Return the number of classes that all levels tell."""
    told = {c / a - background for c, a in zip(channels.values(), anchors.num_anchors, strict=True)}
    classes = told.pop()
    if told or classes != int(classes) or classes < 1:
        found = ", ".join(f"{c} at stride {stride}" for stride, c in channels.items())
        also = " and background" if background else ""
        raise BuildError(
            f"{kind}: the program's class outputs have {found} channels, which is no number of classes{also} for"
            f" {list(anchors.num_anchors)} anchors per cell; give the anchor_generator of the head that was trained."
        )
    return int(classes)


def _require_image(kind: str, loaded: IntProgram, anchors: CellAnchors) -> None:
    height, width, _ = loaded.values[loaded.inputs[0].value].shape
    if anchors.input_size not in (None, (height, width)):
        raise BuildError(
            f"{kind}: the program {loaded.name!r} takes images of {height}×{width} (height×width), but"
            f" anchor_generator.input_size is {anchors.input_size}; set it to ({height}, {width})."
        )
