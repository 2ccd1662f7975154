"""A data set that GNetDet's metadata describe (:mod:`hatlite.data.datasets.meta_file` reads their file)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from hatlite import class_names
from hatlite.data.datasets.base import Transform
from hatlite.data.datasets.folder import FolderDataset, missing_images
from hatlite.data.datasets.meta_file import MetaLine, read_meta_file, require_countable
from hatlite.data.datasets.paths import require_path
from hatlite.data.datasets.record import ImageRecord, clean_record
from hatlite.data.datasets.report import DataReport, refusal
from hatlite.data.datasets.voc_file import VOCFile
from hatlite.data.image import header_size, read_image
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["GNetMeta"]


@OBJECT_REGISTRY.register
class GNetMeta(FolderDataset):
    """Images that a metadata file of GNetDet lists, with their objects.

    Ids count the lines from 1. Sizes come from the images' own headers, and boxes are cleaned as
    :func:`~hatlite.data.datasets.record.clean_record` says.

    Args:
        meta_file: Such as ``data/meta/VOC0712_train.txt``, made by ``tools/voc_to_meta.py``.
        img_path: Folder of the images, such as ``data/VOC0712/JPEGImages``.
        classes: Class names in the order that the file's numbers mean, at most 245.
        transforms: Callables ``transform(sample, rng) -> sample``.

    Raises:
        DataNotFoundError: There is no such file or folder.
        DataError: Lines are malformed, name an image twice or one that is missing, a class beyond `classes`, or a box
            that ends before it begins or reaches beyond its image; all are told together, each with its line. Or the
            file is empty, or `classes` is no list of up to 245 names.
    """

    def __init__(
        self,
        meta_file: str | Path,
        img_path: str | Path,
        *,
        classes: Sequence[str],
        transforms: Sequence[Transform] | None = None,
    ) -> None:
        class_names.require_names(classes, type(self).__name__)
        require_countable(classes, type(self).__name__)
        folder, report = require_path(img_path, "the image folder"), DataReport()
        lines, problems = read_meta_file(meta_file)
        missing = set(missing_images(folder, [line.name for line in lines.values()]))
        problems += _strangers(lines, meta_file, folder, classes, missing)
        there = {number: line for number, line in lines.items() if line.name not in missing}
        annotated = {number: _annotated(line, folder, classes) for number, line in there.items()}
        for number, content in annotated.items():
            problems += content.problems(f"{meta_file}:{number}: {lines[number].name}")
        if problems:
            raise refusal("The metadata have", problems)
        records = [
            clean_record(ImageRecord.of(number, lines[number].name, content.size or (0, 0), content.objects), report)
            for number, content in annotated.items()
        ]
        super().__init__(folder, records, classes=classes, transforms=transforms, report=report)


def _strangers(
    lines: dict[int, MetaLine], meta_file: str | Path, folder: Path, classes: Sequence[str], missing: set[str]
) -> Iterator[str]:
    """Yield a sentence for every image that is missing or named before, and for every class that there is none of."""
    first: dict[str, int] = {}
    for number, line in lines.items():
        if line.name in missing:
            yield f"{meta_file}:{number}: image {line.name} is missing in {folder}"
        if first.setdefault(line.name, number) != number:
            yield f"{meta_file}:{number}: image {line.name} has a line before, {first[line.name]}; leave one of them"
        for label in sorted({one[4] for one in line.objects if not 0 <= one[4] < len(classes)}):
            yield (
                f"{meta_file}:{number}: an object of {line.name} has class {label}, and classes has {len(classes)}"
                f" names, 0…{len(classes) - 1}"
            )


def _name(label: int, classes: Sequence[str]) -> str:
    return classes[label] if 0 <= label < len(classes) else f"class {label}"


def _annotated(line: MetaLine, folder: Path, classes: Sequence[str]) -> VOCFile:
    """Return the objects in continuous edges with the size of their image, which is all that a VOC file would say.

    Raises:
        DataError: The image cannot be read.
    """
    size = header_size(folder / line.name) or read_image(folder / line.name).shape[:2]
    objects = [
        {"box": (x1 - 1, y1 - 1, x2, y2), "label": label, "name": _name(label, classes)}
        for x1, y1, x2, y2, label in line.objects
    ]
    return VOCFile((size[0], size[1]), objects)
