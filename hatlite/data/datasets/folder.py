"""A data set whose images lie in one folder."""

from collections.abc import Sequence
from pathlib import Path

from hatlite.data.datasets.base import DetectionDataset, Transform
from hatlite.data.datasets.paths import require_path
from hatlite.data.datasets.record import ImageRecord
from hatlite.data.datasets.report import DataReport, listed
from hatlite.errors import DataError, DataNotFoundError

__all__ = ["FolderDataset", "missing_images", "read_image_file"]


def missing_images(folder: Path, names: Sequence[str]) -> list[str]:
    """Return those of `names` that are not files below `folder`, which is listed once."""
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    return [name for name in names if name not in present]


def read_image_file(path: Path) -> bytes:
    """Return the bytes of an image file.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as cause:
        raise DataError(f"image {path} cannot be read: {cause.strerror}.") from cause


class FolderDataset(DetectionDataset):
    """Records whose names are files below `folder`.

    Args:
        folder: Where the images lie.
        records: One per image.
        classes: Names of the classes.
        transforms: Callables ``transform(sample, rng) -> sample``.
        report: What was clipped or left out.

    Raises:
        DataNotFoundError: The folder or images are missing; up to ten are named.
    """

    def __init__(
        self,
        folder: str | Path,
        records: Sequence[ImageRecord],
        *,
        classes: Sequence[str],
        transforms: Sequence[Transform] | None = None,
        report: DataReport | None = None,
    ) -> None:
        super().__init__(classes, transforms, report)
        self._folder = require_path(folder, "the image folder")
        self._records = list(records)
        if missing := missing_images(self._folder, [record.name for record in records]):
            raise DataNotFoundError(
                f"{len(missing)} of {len(records)} annotated images are missing in {folder}: {listed(missing)}."
            )

    def __len__(self) -> int:
        return len(self._records)

    def record(self, index: int) -> ImageRecord:
        """Return what is annotated about image `index`."""
        return self._records[index]

    def read(self, index: int) -> tuple[ImageRecord, bytes]:
        """Return the record of image `index` and the bytes of its file."""
        record = self._records[index]
        return record, read_image_file(self._folder / record.name)
