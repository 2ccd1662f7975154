"""Pascal VOC, read as it lies on the disk.

VOC numbers pixels from 1 and counts both ends: a box ``xmin … xmax`` covers the pixels xmin to xmax. In continuous
edges, which hatlite uses everywhere, that is ``xmin − 1 … xmax``, and the same for y.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from hatlite.data.datasets.base import Transform
from hatlite.data.datasets.folder import FolderDataset
from hatlite.data.datasets.paths import require_path
from hatlite.data.datasets.record import ImageRecord, clean_record
from hatlite.data.datasets.report import DataReport, listed
from hatlite.data.image import read_image
from hatlite.errors import DataError, DataNotFoundError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["VOCFromImage"]

DIFFICULT = "difficult objects left out (keep_difficult=False)"
EDGES = ("xmin", "ymin", "xmax", "ymax")


def _parse(xml_file: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(xml_file).getroot()
    except ElementTree.ParseError as cause:
        raise DataError(f"{xml_file} is not valid XML ({cause}); expected a Pascal VOC annotation.") from cause


def _object(element: ElementTree.Element, xml_file: Path) -> dict[str, Any]:
    """Return one object with the name of its class in place of its label."""
    name, texts = element.findtext("name"), [element.findtext(f"bndbox/{edge}") for edge in EDGES]
    try:
        x1, y1, x2, y2 = (float(text or "") for text in texts)
        difficult = bool(int(element.findtext("difficult") or 0))
    except ValueError as cause:
        raise DataError(f"{xml_file}: an object {name!r} has the bndbox {texts}; expected four numbers.") from cause
    if not name:
        raise DataError(f"{xml_file}: an object at {texts} has no name.")
    return {"box": (x1 - 1, y1 - 1, x2, y2), "name": name.strip(), "ignore": difficult}


def _image_size(root: ElementTree.Element, image_file: Path) -> tuple[int, int]:
    """Return (height, width) as annotated; where that is missing or zero, as the file has it."""
    try:
        size = (int(root.findtext("size/height") or 0), int(root.findtext("size/width") or 0))
    except ValueError:
        size = (0, 0)
    if min(size) > 0:
        return size
    height, width, _ = read_image(image_file).shape
    return height, width


def _split_names(root: Path, split: str) -> list[str]:
    require_path(root, "a Pascal VOC data set")
    split_file = require_path(root / "ImageSets" / "Main" / f"{split}.txt", f"the list of the split {split!r}")
    names = [line.split()[0] for line in split_file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not names:
        raise DataError(f"{split_file} is empty; a data set needs at least one image.")
    return names


def _all_classes(root: Path) -> list[str]:
    """Return the class names of all annotations, whatever their split, so that splits agree."""
    found = {
        o.findtext("name", "").strip() for f in (root / "Annotations").glob("*.xml") for o in _parse(f).iter("object")
    }
    return sorted(found - {""})


def _files(folder: Path, names: list[str], suffixes: tuple[str, ...]) -> list[Path]:
    """Return the file of every name, whichever of `suffixes` it has."""
    present = {
        p.stem: p
        for p in require_path(folder, "part of a Pascal VOC data set").iterdir()
        if p.suffix.lower() in suffixes
    }
    if missing := [name for name in names if name not in present]:
        raise DataNotFoundError(
            f"{len(missing)} of {len(names)} files named by the split are missing in {folder}: {listed(missing)}."
        )
    return [present[name] for name in names]


@OBJECT_REGISTRY.register
class VOCFromImage(FolderDataset):
    """A Pascal VOC folder with ``Annotations``, ``ImageSets/Main`` and ``JPEGImages``.

    Args:
        data_path: The folder.
        split: Name of a list in ``ImageSets/Main``, such as ``trainval``.
        transforms: Callables ``transform(sample, rng) -> sample``.
        classes: Class names in the order of their labels. None takes all names found in ``Annotations`` in alphabetical
            order, the same for every split.
        keep_difficult: Keep difficult objects as regions to ignore; otherwise leave them out.

    Raises:
        DataNotFoundError: The folder, the split, annotations or images are missing; up to ten are named.
        DataError: The split is empty, an annotation is malformed, or objects have a class that `classes` lacks.
    """

    def __init__(
        self,
        data_path: str | Path,
        split: str,
        transforms: Sequence[Transform] | None = None,
        *,
        classes: Sequence[str] | None = None,
        keep_difficult: bool = True,
    ) -> None:
        root = Path(data_path)
        names = _split_names(root, split)
        annotations = _files(root / "Annotations", names, (".xml",))
        images = _files(root / "JPEGImages", names, (".jpg", ".jpeg", ".png"))
        classes = list(classes) if classes is not None else _all_classes(root)
        report = DataReport()
        parsed = [self._parse_one(*pair, keep_difficult, report) for pair in zip(annotations, images, strict=True)]
        records = self._number(parsed, classes, report)
        super().__init__(root / "JPEGImages", records, classes=classes, transforms=transforms, report=report)

    @staticmethod
    def _parse_one(
        xml_file: Path, image: Path, keep_difficult: bool, report: DataReport
    ) -> tuple[str, tuple[int, int], list[dict[str, Any]]]:
        root = _parse(xml_file)
        objects = []
        for found in (_object(element, xml_file) for element in root.iter("object")):
            if found["ignore"] and not keep_difficult:
                report.add(DIFFICULT, image.name)
            else:
                objects.append(found)
        return image.name, _image_size(root, image), objects

    @staticmethod
    def _number(
        parsed: list[tuple[str, tuple[int, int], list[dict[str, Any]]]], classes: list[str], report: DataReport
    ) -> list[ImageRecord]:
        """Give images ids from 1 in the order of the split, and objects the index of their class."""
        if strangers := [
            f"{o['name']!r} in {name}" for name, _, objects in parsed for o in objects if o["name"] not in classes
        ]:
            raise DataError(
                f"{len(strangers)} objects have a class that is not in classes ({', '.join(classes)}): "
                f"{listed(strangers)}."
            )
        records = []
        for img_id, (name, size, objects) in enumerate(parsed, 1):
            labelled = [o | {"label": classes.index(o["name"])} for o in objects]
            records.append(clean_record(ImageRecord.of(img_id, name, size, labelled), report))
        return records
