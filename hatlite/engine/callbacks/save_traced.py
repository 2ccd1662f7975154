"""The trained float network as a file that runs without its source."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hatlite.engine.evaluation import evaluating
from hatlite.engine.loop import Callback
from hatlite.errors import ConfigError
from hatlite.files import whole_file
from hatlite.log import get_logger
from hatlite.quantization import FakeQuantGraph
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["SaveTraced"]

logger = get_logger(__name__)


@OBJECT_REGISTRY.register
class SaveTraced(Callback):
    """Writes ``<stage>-network.pt2`` when training has ended: the network that was validated, by ``torch.export``.

    ``torch.export.load(path).module()(img)`` computes the outputs by name, for images of the shape of `trace_inputs`.
    It is for float stages: integers are carried by the ``.hbir`` that stage int_infer writes, and by ONNX.

    Args:
        save_dir: Folder; None takes the run's.
        trace_inputs: ``dict(img=…)`` with an example of (N, 3, H, W) float32, as ``deploy_inputs`` is.
    """

    first_process_only = True

    def __init__(self, save_dir: str | None = None, trace_inputs: Mapping[str, Any] | None = None) -> None:
        if trace_inputs is None or not isinstance(trace_inputs.get("img"), torch.Tensor):
            raise ConfigError(
                "SaveTraced: trace_inputs holds no tensor called img; give it deploy_inputs, such as"
                " dict(img=torch.randn(1, 3, 512, 512))."
            )
        self.save_dir = save_dir
        self.example = trace_inputs["img"]

    def on_loop_begin(self, loop: Any) -> None:
        """Refuse a network of integers."""
        if isinstance(loop.model.network, FakeQuantGraph):
            raise ConfigError(
                f"SaveTraced: stage {loop.run.stage!r} trains on integers, which torch.export has no form for; remove"
                " it from this trainer. Stage int_infer writes the integer program, tools/export_onnx.py ONNX."
            )

    def on_loop_end(self, loop: Any) -> None:
        """Write the file, unless training was interrupted."""
        if loop.interrupted:
            return
        folder = loop.run.folder if self.save_dir is None else Path(self.save_dir)
        path = folder / f"{loop.run.stage}-network.pt2"
        network = copy.deepcopy(loop.evaluation_model.network).cpu().to(memory_format=torch.contiguous_format)
        with evaluating(network):
            exported = torch.export.export(network, (self.example.cpu(),))
        with whole_file(path) as unfinished, unfinished.open("wb") as file:
            torch.export.save(exported, file)
        logger.info("Saved the network of stage %r: %s.", loop.run.stage, path)
