"""Accuracy on the board's own input: what a camera pipeline would make of the same files, one change at a time."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hatlite.data.transforms.board import board_steps
from hatlite.engine.evaluation import source_dataset
from hatlite.engine.kinds import program_stage, restore
from hatlite.engine.parts import build_predictor, predictor_config
from hatlite.engine.predictor import Predictor
from hatlite.engine.run import Run
from hatlite.errors import ConfigError

__all__ = ["BoardStep", "align_bpu", "board_table"]

COMPARED = 32
"""Pictures on which inputs are compared; differences of pixels say the same on a few."""


@dataclass(frozen=True)
class BoardStep:
    """One step on the way to the board's input.

    Attributes:
        name: What changed.
        metrics: As the stage int_infer reports them.
        luma: Mean absolute change of the network's input Y by this step, 0…255.
        chroma: The same of U and V.
    """

    name: str
    metrics: Mapping[str, float]
    luma: float
    chroma: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def align_bpu(run: Run, checkpoint: Path | None = None, num_workers: int | None = None) -> list[BoardStep]:
    """Evaluate the integer program of `run` from the files' bytes to the board's input, step by step.

    The first step is the stage int_infer itself, the last is what the board computes.

    Args:
        run: Config and folder; its ``align_bpu_predictor`` or ``align_bpu_data_loader`` count before int_infer's.
        checkpoint: ``.hbir`` file to take instead of the run's, or a quantised checkpoint, which is lowered.
        num_workers: Processes that load data; None is what the config says.

    Raises:
        StageError: The run has no stage of kind int_infer, or no program yet.
        ConfigError: The data set reads no files, or its transforms cannot be moved behind the camera.
    """
    stage = program_stage(run).name
    if num_workers is not None:
        config = predictor_config(run, "align_bpu")
        loader = {**config["data_loader"], "num_workers": num_workers}
        run.config["align_bpu_predictor"] = {**config, "data_loader": loader}
    _, dataset = _predictor(run)
    found: list[BoardStep] = []
    before: list[np.ndarray] | None = None
    for name, transforms in board_steps(dataset.transforms).items():
        # A new one each time: the loader's workers keep the data set that they started with.
        predictor, dataset = _predictor(run)
        dataset.transforms = transforms
        restore(run, stage, predictor.model, checkpoint)
        inputs = _inputs(dataset)
        luma, chroma = _change(before or inputs, inputs)
        found.append(BoardStep(name, predictor.predict(), luma, chroma))
        before = inputs
    return found


def _predictor(run: Run) -> tuple[Predictor, Any]:
    """Return what evaluates the run's pictures, and the data set below its loader."""
    predictor = build_predictor(run, "align_bpu")
    dataset = source_dataset(predictor.data_loader)
    if not hasattr(dataset, "read") or not hasattr(dataset, "transforms"):
        raise ConfigError(
            f"align_bpu starts from the bytes of image files, and {type(dataset).__name__} has none; give the config an"
            " align_bpu_data_loader on a data set of files, such as CocoFromImage."
        )
    return predictor, dataset


def _inputs(dataset: Any) -> list[np.ndarray]:
    """Return the first pictures as the network takes them, (3, H, W) each, but in steps of pixels."""
    std = dataset.transforms[-1].std
    return [(dataset[index]["img"] * std).numpy() for index in range(min(len(dataset), COMPARED))]


def _change(before: list[np.ndarray], after: list[np.ndarray]) -> tuple[float, float]:
    changes = [np.abs(b - a).mean(axis=(1, 2)) for a, b in zip(before, after, strict=True)]
    luma, *chroma = np.mean(changes, axis=0)
    return float(luma), float(np.mean(chroma))


def board_table(steps: list[BoardStep]) -> str:
    """Return a Markdown table, one line per step, its change of mAP against the line before, and the whole change."""
    lines = [
        "| step | mAP | AP50 | AP75 | change of mAP | change of Y | change of U, V |",
        "|---|---|---|---|---|---|---|",
    ]
    for before, step in zip([steps[0], *steps[:-1]], steps, strict=True):
        numbers = " | ".join(f"{step.metrics[key]:.4f}" for key in ("mAP", "AP50", "AP75"))
        change = f"{step.metrics['mAP'] - before.metrics['mAP']:+.4f}"
        lines.append(f"| {step.name} | {numbers} | {change} | {step.luma:.3f} | {step.chroma:.3f} |")
    total = steps[-1].metrics["mAP"] - steps[0].metrics["mAP"]
    images = int(steps[0].metrics["images"])
    return "\n".join([*lines, "", f"align_bpu against int_infer: {total:+.4f} mAP on {images} images."])
