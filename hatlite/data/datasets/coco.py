"""COCO: from a packed LMDB, or from a folder of images and an annotation file."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from hatlite.data.datasets.base import DetectionDataset, Transform
from hatlite.data.datasets.coco_file import read_coco_file
from hatlite.data.datasets.folder import FolderDataset
from hatlite.data.datasets.paths import require_path
from hatlite.data.datasets.record import ImageRecord
from hatlite.data.datasets.report import DataReport
from hatlite.data.lmdb_store import LmdbReader
from hatlite.errors import DataError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["Coco", "CocoFromImage"]


@OBJECT_REGISTRY.register(alias="CocoFromLMDB")
class Coco(DetectionDataset):
    """A data set packed by ``tools/mscoco_packer.py``; images, boxes and classes all come from the LMDB.

    Args:
        data_path: Folder of the LMDB, such as ``tmp_data/mscoco/train_lmdb``.
        transforms: Callables ``transform(sample, rng) -> sample``.

    Raises:
        DataNotFoundError: There is no such folder.
        DataError: The folder is no packed data set, of another format version, empty or corrupt.
    """

    def __init__(self, data_path: str | Path, transforms: Sequence[Transform] | None = None) -> None:
        self._store = LmdbReader(require_path(data_path, "a packed data set (made by tools/mscoco_packer.py)"))
        meta = self._store.meta
        if "classes" not in meta:
            raise DataError(f"{data_path} holds no class table; it was not packed by tools/mscoco_packer.py.")
        super().__init__(meta["classes"], transforms, DataReport(meta.get("report")))

    def __len__(self) -> int:
        return len(self._store)

    def record(self, index: int) -> ImageRecord:
        """Return what is annotated about image `index`."""
        return self.read(index)[0]

    def read(self, index: int) -> tuple[ImageRecord, bytes]:
        """Return the record of image `index` and the bytes of its file."""
        values = self._store.read(index)
        return ImageRecord.from_dict(values["record"]), values["image"]


@OBJECT_REGISTRY.register
class CocoFromImage(FolderDataset):
    """A folder of images and a COCO annotation file.

    Args:
        img_path: Folder of the images, such as ``tmp_data/mscoco/val2017``.
        ann_file: Annotations, such as ``tmp_data/mscoco/annotations/instances_val2017.json``.
        transforms: Callables ``transform(sample, rng) -> sample``.

    Raises:
        DataNotFoundError: The folder, the file or images are missing; up to ten are named.
        DataError: The annotations are unusable (:func:`~hatlite.data.datasets.coco_file.read_coco_file`).
    """

    declined_keys: ClassVar = {"root": "write img_path.", "annFile": "write ann_file."}

    def __init__(
        self, img_path: str | Path, ann_file: str | Path, transforms: Sequence[Transform] | None = None
    ) -> None:
        classes, records, report = read_coco_file(ann_file)
        super().__init__(img_path, records, classes=classes, transforms=transforms, report=report)
