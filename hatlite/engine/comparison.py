"""What two stages of a run see in the same pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from hatlite.analysis import contact_sheet, draw_detections, save_picture, side_by_side
from hatlite.engine.data_paths import build_on_data
from hatlite.engine.infer import infer_images
from hatlite.engine.run import Run
from hatlite.errors import ConfigError
from hatlite.files import make_folder

__all__ = ["compare_pictures"]

COLUMNS = 2
NOTE = "thin white: ground truth"


def compare_pictures(
    run: Run,
    stages: Sequence[str] = ("float", "int_infer"),
    count: int = 8,
    folder: str | Path | None = None,
    *,
    score_threshold: float = 0.5,
) -> list[Path]:
    """Write what `stages` detect in the first `count` validation pictures, side by side, with the ground truth.

    Args:
        run: Config and folder; its stages have been run.
        stages: From left to right.
        count: Largest number of pictures.
        folder: Made if missing; ``pictures`` in the run's folder if None.
        score_threshold: Smallest score to draw.

    Returns:
        One JPEG per picture, then ``contact_sheet.jpg`` with all of them.

    Raises:
        ConfigError: `count` or `stages` ask for nothing.
        DataError, StageError, CheckpointError, ProgramError: Data or stages are missing.
    """
    if count < 1 or not stages:
        raise ConfigError(f"count is {count} and stages are {list(stages)}; expected at least one of each.")
    config = run.config["val_data_loader"]["dataset"]
    dataset = build_on_data(run, config, "['val_data_loader']['dataset']")
    samples = [dataset.load(index) for index in range(min(count, len(dataset)))]
    found = [[detections for _, detections in infer_images(run, stage, samples)] for stage in stages]
    folder = make_folder(folder or run.folder / "pictures")
    pictures, paths = [], []
    for index, (sample, *detections) in enumerate(zip(samples, *found, strict=True)):
        drawn = [_draw(sample, one, dataset.classes, score_threshold) for one in detections]
        pictures.append(side_by_side(drawn, stages, NOTE))
        paths.append(folder / f"{index:03d}_{PurePath(sample['img_name']).stem}.jpg")
        save_picture(pictures[-1], paths[-1])
    rows = [pictures[start : start + COLUMNS] for start in range(0, len(pictures), COLUMNS)]
    return [*paths, save_picture(contact_sheet(rows), folder / "contact_sheet.jpg")]


def _draw(sample: Mapping[str, Any], detections: Any, classes: Sequence[str], score_threshold: float) -> np.ndarray:
    learned = sample["gt_bboxes"][sample["gt_classes"] >= 0]
    return draw_detections(sample["img"], detections, classes, score_threshold, ground_truth=learned)
