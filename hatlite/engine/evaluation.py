"""Measure a detector on a loader: one pass of the network per batch serves detections and losses alike."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tqdm import tqdm

from hatlite.engine.device import to_device
from hatlite.errors import ConfigError

__all__ = ["evaluate", "evaluating", "source_dataset"]


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


def evaluate(
    model: Any, data_loader: Any, metrics: Any, *, device: torch.device, channels_last: bool = True
) -> dict[str, float]:
    """Run `model` over `data_loader` and return what `metrics` computes, losses and speed.

    Args:
        model: A detector; ``network``, ``detect`` and ``compute_losses`` are used.
        data_loader: Batches of images; its data set is given to ``metrics.bind``.
        metrics: ``bind / reset / update(batch, detections) / compute``; its values are floats, metrics in 0…1.
        device: Where the model is.
        channels_last: Memory layout of the images.

    Returns:
        The metrics; ``val_loss`` and ``val_loss_<name>``, means over images; ``images``; ``images_per_second`` of
        everything from the image tensor to detections and losses, loading and metric left out.
    """
    metrics.bind(source_dataset(data_loader))
    metrics.reset()
    sums: dict[str, float] = defaultdict(float)
    images, seconds = 0, 0.0
    with evaluating(model):
        for batch in tqdm(data_loader, desc="evaluate", leave=False, disable=None):
            batch = to_device(batch, device, channels_last)
            started = time.perf_counter()
            outputs = model.network(batch["img"])
            detections = model.detect(outputs, batch)
            losses = model.compute_losses(outputs, batch)
            count = len(batch["img"])
            for name, loss in losses.items():
                sums[f"val_loss_{name}"] += float(loss) * count
                sums["val_loss"] += float(loss) * count
            seconds += time.perf_counter() - started
            images += count
            metrics.update(batch, detections)
    if images == 0:
        raise ConfigError("The evaluation loader has no batches; its data set is empty.")
    means = {name: total / images for name, total in sums.items()}
    speed = {"images": images, "images_per_second": images / max(seconds, 1e-9)}
    return {**{name: float(value) for name, value in metrics.compute().items()}, **means, **speed}
