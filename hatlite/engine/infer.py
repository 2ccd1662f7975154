"""A stage's detector on pictures that no data set holds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hatlite.data import Collate2D
from hatlite.data.image import read_image
from hatlite.engine.agreement import check_size
from hatlite.engine.checkpoint import load_checkpoint
from hatlite.engine.converters import how_to_get, take_own
from hatlite.engine.device import place, resolve_device, to_device
from hatlite.engine.evaluation import evaluating
from hatlite.engine.infer_settings import infer_model, infer_transforms
from hatlite.engine.kinds import program_stage, restore, stage_file
from hatlite.engine.program_files import is_program, load_program
from hatlite.engine.run import Run
from hatlite.structures import Detections

__all__ = ["class_names", "infer_images", "stage_of"]

Picture = str | Path | np.ndarray | Mapping[str, Any]
"""A file, an (H, W, 3) uint8 RGB array, or the sample that a data set's ``load`` returns."""


def infer_images(
    run: Run, name: str, pictures: Sequence[Picture], checkpoint: str | Path | None = None
) -> list[tuple[np.ndarray, Detections]]:
    """Detect with what stage `name` left, after the transforms of ``infer_cfg`` or of the validation data.

    All pictures are read before the detector is built. They pass through it one by one, since they may differ in size.

    Args:
        run: Config, folder and device.
        name: Of the stage.
        pictures: Files, arrays or samples.
        checkpoint: File to take instead of the stage's own.

    Returns:
        For each picture its (H, W, 3) uint8 RGB pixels, and the detections on the CPU, in pixels of this picture.

    Raises:
        DataError: A picture is missing, unreadable, or does not suit the transforms.
        ConfigError: The detector takes no picture of this size.
        CheckpointError, ProgramError, StageError: The stage cannot be restored.
    """
    samples = [as_sample(picture, index) for index, picture in enumerate(pictures)]
    transforms = infer_transforms(run)
    batches = [Collate2D()([transformed(sample, transforms)]) for sample in samples]
    model = infer_model(run)
    for sample, batch in zip(samples, batches, strict=True):
        check_size(model, batch["img"], f"Image {sample['img_name']} behind the transforms")
    restore(run, name, model, Path(checkpoint) if checkpoint else None)
    device = resolve_device(run.device)
    place(model, device, channels_last=True)
    with evaluating(model):
        found = [model(to_device(batch, device, channels_last=True))[0] for batch in batches]
    return [(sample["img"], on_cpu(detections)) for sample, detections in zip(samples, found, strict=True)]


def class_names(run: Run, name: str, checkpoint: str | Path | None = None) -> tuple[str, ...]:
    """Return the class names that the file of stage `name` carries; none if it was made without.

    Raises:
        CheckpointError, ProgramError: The file is missing or damaged.
    """
    stage = run.stage(name)
    path = Path(checkpoint) if checkpoint else stage_file(run, stage)
    if is_program(path):
        return tuple(load_program(path).metadata.get("classes", ()))
    return tuple(load_checkpoint(path, hint=how_to_get(run, take_own(stage_file(run, stage)), path))["classes"])


def stage_of(run: Run, checkpoint: str | Path) -> str:
    """Return the stage that `checkpoint` is of, as far as the file tells.

    Raises:
        CheckpointError: The file is missing or damaged.
        StageError: The run has no such stage.
    """
    path = Path(checkpoint)
    if is_program(path):
        return program_stage(run).name
    hint = how_to_get(run, "Name another file, or leave --ckpt out to take what the last stage left.", path)
    return run.stage(load_checkpoint(path, hint=hint)["stage"]).name


def as_sample(picture: Picture, index: int) -> Mapping[str, Any]:
    """Return `picture` as a data set would load it, without objects; a sample stays as it is."""
    if isinstance(picture, Mapping):
        return picture
    img = picture if isinstance(picture, np.ndarray) else read_image(picture)
    return {
        "img": img,
        "gt_bboxes": np.empty((0, 4), np.float32),
        "gt_classes": np.empty(0, np.int64),
        "img_id": index,
        "img_name": f"number {index}" if isinstance(picture, np.ndarray) else str(picture),
        "orig_size": img.shape[:2],
        "matrix": np.eye(3),
    }


def transformed(sample: Mapping[str, Any], transforms: Sequence[Any]) -> dict[str, Any]:
    """Return `sample` after `transforms`, whose chances, if any, come from seed 0."""
    rng, moved = np.random.default_rng(0), dict(sample)
    for transform in transforms:
        moved = transform(moved, rng)
    return moved


def on_cpu(detections: Detections) -> Detections:
    """Return `detections` with all tensors on the CPU."""
    return Detections(detections.boxes.cpu(), detections.scores.cpu(), detections.labels.cpu())
