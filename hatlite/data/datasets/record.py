"""One annotated image, and the rule by which its boxes are cleaned."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from hatlite.data.datasets.report import DataReport
from hatlite.data.image import decode_image
from hatlite.errors import DataError

__all__ = ["IGNORE_CLASS", "ImageRecord", "clean_record", "wrong_size"]

IGNORE_CLASS = -1
"""Class of a region that training must ignore."""

MIN_SIDE = 1.0  # pixels; a region no wider or no higher than one pixel shows no object
CLIPPED = "boxes clipped to their image"
DROPPED = "boxes dropped, at most one pixel wide or high inside the image"
NOT_FINITE = "boxes dropped, coordinates not finite"


@dataclass(frozen=True)
class ImageRecord:
    """What is known about an image beside its pixels.

    Attributes:
        img_id: Number of the image, unique in its data set.
        name: File name below the image folder.
        height, width: Pixels.
        boxes: (N, 4) float32, xyxy, pixels, continuous edges: 0 ≤ x1 < x2 ≤ width.
        labels: (N,) int64, class indices from 0, also where `ignore` is set.
        areas: (N,) float32, square pixels; of the mask where the source has one (COCO), else of the box. NaN until
            :func:`clean_record` has cut the box to its final size.
        ignore: (N,) bool; neither learned nor counted (COCO crowd, VOC difficult).
        crowd: (N,) bool; a region of many objects, which may absorb any number of detections.
    """

    img_id: int
    name: str
    height: int
    width: int
    boxes: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    ignore: np.ndarray
    crowd: np.ndarray

    @classmethod
    def of(cls, img_id: int, name: str, size: tuple[int, int], objects: Sequence[Mapping[str, Any]]) -> "ImageRecord":
        """Make a record of an image of `size` (height, width) from its objects.

        Args:
            objects: Each with `box` (xyxy) and `label`; `area`, `ignore` and `crowd` where not the default.
        """
        return cls.from_dict(
            {
                **{"img_id": img_id, "name": name, "height": size[0], "width": size[1]},
                "boxes": [o["box"] for o in objects],
                "areas": [o.get("area", np.nan) for o in objects],
                "labels": [o["label"] for o in objects],
                "ignore": [o.get("ignore", False) for o in objects],
                "crowd": [o.get("crowd", False) for o in objects],
            }
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ImageRecord":
        """Make a record from plain values, as :meth:`to_dict` gives them."""
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is dropped as such
            return cls(
                img_id=int(values["img_id"]),
                name=str(values["name"]),
                height=int(values["height"]),
                width=int(values["width"]),
                boxes=np.array(values["boxes"], np.float32).reshape(-1, 4),
                labels=np.array(values["labels"], np.int64),
                areas=np.array(values["areas"], np.float32),
                ignore=np.array(values["ignore"], bool),
                crowd=np.array(values["crowd"], bool),
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain numbers, strings and lists."""
        return {key: v.tolist() if isinstance(v, np.ndarray) else v for key, v in asdict(self).items()}

    @property
    def classes(self) -> np.ndarray:
        """(N,) int64, as a sample carries them: the label, or −1 where the region is to be ignored."""
        return np.where(self.ignore, IGNORE_CLASS, self.labels)

    def decode(self, data: bytes) -> np.ndarray:
        """Decode the image's file to (H, W, 3) uint8 RGB.

        Raises:
            DataError: It is no image, is truncated, or has another size than the record.
        """
        img = decode_image(data, self.name)
        if img.shape[:2] != (self.height, self.width):
            raise DataError(wrong_size(self.name, img.shape[:2], (self.height, self.width)))
        return img

    def select(self, keep: np.ndarray, boxes: np.ndarray) -> "ImageRecord":
        """Return the record with the objects that `keep` (N,) bool marks, at `boxes` (N, 4) float32."""
        kept = {key: getattr(self, key)[keep] for key in ("labels", "areas", "ignore", "crowd")}
        sides = boxes[keep, 2:] - boxes[keep, :2]
        kept["areas"] = np.where(np.isnan(kept["areas"]), sides[:, 0] * sides[:, 1], kept["areas"])
        return replace(self, boxes=boxes[keep], **kept)


def wrong_size(name: str, found: tuple[int, ...], said: tuple[int, int]) -> str:
    """Return the sentence about an image that is `found` large where its annotation `said` another (height, width)."""
    return (
        f"image {name} has {found[1]}×{found[0]} pixels where its annotation says {said[1]}×{said[0]}, so its boxes"
        " cannot be trusted; correct the annotation."
    )


def clean_record(record: ImageRecord, report: DataReport) -> ImageRecord:
    """Clip boxes to the image and drop those that show nothing; count both in `report`.

    A box is dropped when a coordinate is not finite, or when it is at most one pixel wide or high after clipping
    (degenerate, or outside the image).
    """
    finite = np.isfinite(record.boxes).all(axis=1)
    edges = np.array([record.width, record.height] * 2, np.float32)
    boxes = np.clip(np.where(finite[:, None], record.boxes, 0), 0, edges)
    large = ((boxes[:, 2:] - boxes[:, :2]) > MIN_SIDE).all(axis=1)
    for reason, marked in (
        (NOT_FINITE, ~finite),
        (DROPPED, finite & ~large),
        (CLIPPED, finite & large & (boxes != record.boxes).any(axis=1)),
    ):
        for box in record.boxes[marked]:
            report.add(reason, f"{record.name} ({', '.join(f'{v:g}' for v in box)})")
    return record.select(finite & large, boxes)
