"""The alignment check of a run: its graph against its program, on images of its validation data."""

from collections.abc import Iterator
from typing import Any

import torch

from hatlite import config as config_module
from hatlite.analysis import AlignmentReport, check_alignment
from hatlite.engine.data_paths import build_on_data
from hatlite.engine.run import Run
from hatlite.errors import ConfigError, StageError
from hatlite.log import get_logger
from hatlite.quantization import FakeQuantGraph

__all__ = ["check_run", "require_alignment", "validation_batches", "validation_images"]

logger = get_logger(__name__)

DEFAULT_IMAGES = 2
ROWS = 20


def check_run(run: Run, graph: FakeQuantGraph, num_images: int) -> AlignmentReport:
    """Compare `graph` with the run's program on the first validation images and write ``alignment.json``."""
    report = check_alignment(graph, run.program(), validation_images(run, num_images))
    config_module.dump(report.to_dict(), run.folder / "alignment.json")
    return report


def require_alignment(run: Run, graph: FakeQuantGraph) -> None:
    """Check as many images as the config's ``align_images`` says; 0 skips the check.

    Raises:
        ConfigError: ``align_images`` is not a whole number from 0 up.
        StageError: Integers differ.
    """
    num_images = run.config.get("align_images", DEFAULT_IMAGES)
    if not isinstance(num_images, int) or isinstance(num_images, bool) or num_images < 0:
        raise ConfigError(f"config['align_images'] is {num_images!r}; expected a whole number from 0 up.")
    if num_images == 0:
        logger.warning("align_images is 0: nothing shows that the program computes what was trained.")
        return
    report = check_run(run, graph, num_images)
    if not report.passed:
        print(report.table(ROWS))
        raise StageError(
            f"{run.program()} does not compute what was trained: {report.first_difference or report.summary()}.\n"
            f"  All layers are in {run.folder / 'alignment.json'}, the first that differs is where to look;"
            " align_images=0 skips this check."
        )
    logger.info("Alignment: %s", report.summary())
    logger.info("Saturation: %s", report.saturation_summary())


def validation_batches(run: Run, count: int) -> Iterator[dict[str, Any]]:
    """Yield the first `count` validation images as batches of one, behind the transforms of validation."""
    loader = build_on_data(run, {**run.config["val_data_loader"], "num_workers": 0}, "['val_data_loader']")
    for batch in loader:
        for index in range(min(count, len(batch["img"]))):
            yield {key: _one(value, index) for key, value in batch.items()}
        count -= len(batch["img"])
        if count <= 0:
            return


def _one(values: Any, index: int) -> Any:
    return values[index : index + 1] if isinstance(values, (list, tuple, torch.Tensor)) else values


def validation_images(run: Run, count: int) -> Iterator[torch.Tensor]:
    """Yield the first `count` validation images, (1, 3, H, W) float32, behind the transforms of validation."""
    return (batch["img"] for batch in validation_batches(run, count))
