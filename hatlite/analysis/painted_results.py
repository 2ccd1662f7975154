"""What a detector finds in each picture of a data set, painted beside what is there."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

from hatlite.analysis.picture_files import save_picture
from hatlite.analysis.pictures import draw_detections, draw_ground_truth
from hatlite.analysis.sheets import side_by_side
from hatlite.errors import ConfigError
from hatlite.structures import Detections

__all__ = ["PaintedResults"]


class PaintedResults:
    """A metric that measures nothing: it writes a JPEG for each image that it is shown.

    Objects stand on the left, detections on the right, in the data set's own picture. A file is called by the number of
    the image in the data set and the name of its file.

    Args:
        folder: Where the pictures go.
        title: Above the detections, such as the stage's name.
        score_threshold: Smallest score to paint, 0…1.
    """

    def __init__(self, folder: str | Path, title: str, score_threshold: float = 0.3) -> None:
        self.folder = Path(folder)
        self.title = title
        self.score_threshold = score_threshold
        self.dataset: Any = None
        self.painted = 0

    def bind(self, dataset: Any) -> None:
        """Take the pictures from `dataset`.

        Raises:
            ConfigError: It cannot give single pictures without transforms.
        """
        if not (hasattr(dataset, "load") and hasattr(dataset, "record")):
            raise ConfigError(
                f"{type(dataset).__name__} has no load(index) and record(index), from which results are painted; derive"
                " it from hatlite.data.datasets.base.DetectionDataset."
            )
        self.dataset = dataset

    def reset(self) -> None:
        """Count from 0 again."""
        self.painted = 0

    @cached_property
    def _places(self) -> dict[int, int]:
        """Index by id; made where pictures are painted, which is in one process of several."""
        return {self.dataset.record(index).img_id: index for index in range(len(self.dataset))}

    def update(self, batch: Mapping[str, Any], detections: Sequence[Detections]) -> None:
        """Paint the images of `batch`, which `img_id` names; boxes are in pixels of the original images."""
        for img_id, found in zip(batch["img_id"], detections, strict=True):
            index = self._places[int(img_id)]
            sample = self.dataset.load(index)
            img, classes = sample["img"], self.dataset.classes
            drawn = [
                draw_ground_truth(img, sample["gt_bboxes"], sample["gt_classes"], classes),
                draw_detections(img, found, classes, self.score_threshold),
            ]
            note = f"scores from {self.score_threshold:g}"
            picture = side_by_side(drawn, ("annotated", self.title), note)
            save_picture(picture, self.folder / f"{index:05d}_{PurePath(str(sample['img_name'])).stem}.jpg")
            self.painted += 1

    def compute(self) -> dict[str, float]:
        """Return nothing: pictures are no numbers."""
        return {}
