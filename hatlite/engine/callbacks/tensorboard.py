"""Curves, histograms and the network itself for TensorBoard."""

from pathlib import Path
from typing import Any

import torch
from tensorboard.compat.proto.event_pb2 import Event
from torch.utils.tensorboard import SummaryWriter

from hatlite.engine.callbacks.histograms import activations, finite_values, gradients, parameters
from hatlite.engine.callbacks.network_graph import network_graph
from hatlite.engine.callbacks.scalars import ScalarWriter
from hatlite.engine.callbacks.validation import Validation
from hatlite.errors import CaptureError
from hatlite.log import get_logger
from hatlite.metrics import LossShow
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["TensorBoard"]

logger = get_logger(__name__)


@OBJECT_REGISTRY.register
class TensorBoard(ScalarWriter):
    """Writes losses, learning rate and validation metrics; must stand after ``Validation``.

    An epoch of training has a point of ``epoch/train_loss``, the mean of its steps, in a resumed run of those since;
    ``epoch/val_loss`` where it was measured; ``epoch/decay_loss``, what weight decay would be as a term of the loss,
    and ``epoch/decay_ratio``, that over the loss in training.

    Args:
        log_dir: Folder of all stages; None is ``tensorboard`` in the run's folder. Each stage has its own below.
        step_log_interval: Steps between two points of the losses; the last step of an epoch has one too.
        histograms: At the end of each epoch of training write histograms of all weights, of their gradients in its last
            step, and of what every convolution makes of the first validation batch, which is run once more.
        graph: Write the network as a graph, before the first point.
    """

    def __init__(
        self,
        log_dir: str | None = None,
        step_log_interval: int = 10,
        *,
        histograms: bool = False,
        graph: bool = False,
    ) -> None:
        super().__init__(step_log_interval)
        self.log_dir = log_dir
        self.histograms = histograms
        self.graph = graph
        self.writer: SummaryWriter | None = None
        self.train_loss = LossShow()
        self.first_batch: Any = None

    def on_epoch_begin(self, loop: Any) -> None:
        """Start the epoch's mean anew."""
        self.train_loss.reset()

    def on_step_end(self, loop: Any) -> None:
        """Take in the losses, and write them when it is due."""
        self.train_loss.update(loop.losses)
        super().on_step_end(loop)

    def on_epoch_end(self, loop: Any) -> None:
        """Write what validation measured and what the epoch was like."""
        super().on_epoch_end(loop)
        if not loop.losses:  # of a loop that does not train
            return
        self.write(loop, self._of_epoch(loop))
        if self.histograms:
            self._write_histograms(loop)

    def on_loop_end(self, loop: Any) -> None:
        """Close the file."""
        if self.writer is not None:
            self.writer.close()

    def write(self, loop: Any, values: dict[str, float]) -> None:
        """Add a point to the curve of each of `values`."""
        writer = self._opened(loop)
        for name, value in values.items():
            writer.add_scalar(name, value, loop.step)

    def _opened(self, loop: Any) -> SummaryWriter:
        if self.writer is None:  # opened late: a resumed run then knows which points to replace
            folder = Path(self.log_dir) if self.log_dir else loop.run.folder / "tensorboard"
            self.writer = SummaryWriter(str(folder / loop.run.stage), purge_step=loop.step)
            if self.graph:
                self._write_graph(loop)
        return self.writer

    def _of_epoch(self, loop: Any) -> dict[str, float]:
        total = sum(self.train_loss.compute().values())
        decay = _decay_loss(loop.optimizer)
        measured = {"epoch/val_loss": loop.metrics["val_loss"]} if "val_loss" in loop.metrics else {}
        decays = {"epoch/decay_loss": decay, "epoch/decay_ratio": decay / total} if decay and total else {}
        return {"epoch/train_loss": total, **measured, **decays}

    def _write_histograms(self, loop: Any) -> None:
        every = {**parameters(loop.model), **gradients(loop.model)}
        if (loader := _validation_loader(loop)) is not None:
            if self.first_batch is None:
                self.first_batch = next(iter(loader))["img"]
            every |= activations(loop.evaluation_model, self.first_batch, loop.device, channels_last=loop.channels_last)
        for name, values in every.items():
            if (finite := finite_values(values)).size:
                self._opened(loop).add_histogram(name, finite, loop.step)

    def _write_graph(self, loop: Any) -> None:
        try:
            graph = network_graph(loop.model.network, tuple(loop.batch["img"].shape[1:]))
        except CaptureError as problem:
            logger.warning("TensorBoard has no graph of the network: %s", problem)
            return
        assert self.writer is not None
        self.writer.file_writer.add_event(Event(graph_def=graph.SerializeToString()))


@torch.no_grad()
def _decay_loss(optimizer: torch.optim.Optimizer) -> float:
    """Return Σ wd/2 · ‖w‖² over the groups: the loss whose gradient the weight decay of SGD is."""
    decayed = [group for group in optimizer.param_groups if group.get("weight_decay")]
    learning = [(group["weight_decay"], p) for group in decayed for p in group["params"] if p.requires_grad]
    return sum(decay / 2 * float(p.double().square().sum()) for decay, p in learning)


def _validation_loader(loop: Any) -> Any:
    """Return the loader of the loop's ``Validation``; None where nothing is validated."""
    return next((one.data_loader for one in loop.callbacks if isinstance(one, Validation)), None)
