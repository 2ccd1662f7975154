"""Measure a detector on a loader: one pass of the network per batch serves detections and losses alike."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from tqdm import tqdm

from hatlite.data.loader import whole_batches
from hatlite.engine.device import to_device
from hatlite.engine.processes import first_says, in_turn, process
from hatlite.errors import ConfigError
from hatlite.log import get_logger

__all__ = ["evaluate", "evaluating", "source_dataset"]

logger = get_logger(__name__)


def source_dataset(data_loader: Any) -> Any:
    """Return the data set of the config, without the wrapper that the loader puts around it."""
    return getattr(data_loader.dataset, "dataset", data_loader.dataset)


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Put `model` into eval mode without gradients, and afterwards every module back into the mode it had."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


@dataclass(frozen=True)
class _Measured:
    """What one batch gave: `losses` are its own, `seconds` go from the image tensor to detections and losses."""

    batch: dict[str, Any]
    detections: list[Any]
    losses: dict[str, float]
    seconds: float


def evaluate(
    model: Any,
    data_loader: Any,
    metrics: Any,
    *,
    device: torch.device,
    channels_last: bool = True,
    log_interval: int | None = None,
) -> dict[str, float]:
    """Run `model` over `data_loader` and return what `metrics` computes, losses and speed.

    Several processes, which all call this, share the batches: each batch is measured once, whole, by one of them. The
    metric of the first is given all batches in their order, as if it were alone, and all return what it says.

    Args:
        model: A detector; ``network``, ``detect`` and ``compute_losses`` are used.
        data_loader: Batches of images; its data set is given to ``metrics.bind``.
        metrics: ``bind / reset / update(batch, detections) / compute``; its values are floats, metrics in 0…1. Of
            several processes batches come on the CPU, and their ``img`` has a shape and no pixels (device ``meta``).
        device: Where the model is.
        channels_last: Memory layout of the images.
        log_interval: Batches between two lines of the log; None and 0 are for none.

    Returns:
        The metrics; ``val_loss`` and ``val_loss_<name>``, means over images; ``images``; ``images_per_second`` of
        everything from the image tensor to detections and losses, loading and metric left out, by all processes
        together.
    """
    rank, count = process()
    metrics.bind(source_dataset(data_loader))
    metrics.reset()
    with evaluating(model), whole_batches(data_loader, rank, count) as batches:
        own = (_measure(model, to_device(batch, device, channels_last)) for batch in batches)
        every = in_turn(own if count == 1 else map(_without_pixels, own), len(data_loader))
        shown = tqdm(every, total=len(data_loader), desc="evaluate", leave=False, disable=True if rank else None)
        result = _summed_up(_logged(shown, log_interval, len(data_loader)), metrics)
    return first_says(result)


def _logged(every: Iterable[_Measured], interval: int | None, total: int) -> Iterator[_Measured]:
    """Yield `every` batch, with a line of the log for each `interval` of them, in the process that they come to."""
    for number, measured in enumerate(every, 1):
        yield measured
        if interval and number % interval == 0:
            logger.info("evaluate: batch %d of %d", number, total)


def _measure(model: Any, batch: dict[str, Any]) -> _Measured:
    started = time.perf_counter()
    outputs = model.network(batch["img"])
    detections = model.detect(outputs, batch)
    losses = {name: float(loss) for name, loss in model.compute_losses(outputs, batch).items()}
    return _Measured(batch, detections, losses, time.perf_counter() - started)


def _without_pixels(measured: _Measured) -> _Measured:
    image = torch.empty_like(measured.batch["img"], device="meta")
    return replace(measured, batch={**measured.batch, "img": image})


def _summed_up(every: Iterable[_Measured], metrics: Any) -> dict[str, float]:
    """Return the result of the batches that come; nothing in a process that none come to."""
    sums: dict[str, float] = defaultdict(float)
    images, seconds = 0, 0.0
    for measured in every:
        count = len(measured.batch["img"])
        for name, loss in measured.losses.items():
            sums[f"val_loss_{name}"] += loss * count
            sums["val_loss"] += loss * count
        seconds += measured.seconds
        images += count
        metrics.update(measured.batch, measured.detections)
    if process()[0]:
        return {}
    if images == 0:
        raise ConfigError("The evaluation loader has no batches; its data set is empty.")
    means = {name: total / images for name, total in sums.items()}
    speed = {"images": images, "images_per_second": images * process()[1] / max(seconds, 1e-9)}
    return {**{name: float(value) for name, value in metrics.compute().items()}, **means, **speed}
