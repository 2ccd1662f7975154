"""The files of a Pascal VOC folder: annotations and their images, found, read and compared with the classes."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hatlite import class_names
from hatlite.data.datasets.paths import require_path
from hatlite.data.datasets.record import ImageRecord, clean_record, wrong_size
from hatlite.data.datasets.report import DataReport, listed, refusal
from hatlite.data.datasets.voc_file import VOCFile, read_voc_file
from hatlite.data.image import header_size, read_image
from hatlite.errors import DataError, DataNotFoundError

__all__ = ["Annotated", "compare_objects", "image_files", "read_annotated", "record_of", "require_all", "xml_files"]

DIFFICULT = "difficult objects left out (keep_difficult=False)"
LEAVE_OUT = "skip_unknown_classes=True"
UNKNOWN = "objects passed over, their class is not in classes (skip_unknown_classes=True)"
SIZED = "sizes that annotations lack taken from their images (repair=True)"
REMEDY = (
    "\n  Correct the annotations; or let repair=True (--repair of tools/voc2coco.py) take sizes from the images, clip"
    " boxes and leave out those that are none."
)


@dataclass(frozen=True)
class Annotated:
    """An image and its annotation."""

    xml_file: Path
    image: Path
    content: VOCFile


def xml_files(root: Path) -> dict[str, Path]:
    """Return the file of every annotation by the name of its image."""
    folder = require_path(root / "Annotations", "part of a Pascal VOC data set")
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() == ".xml"}


def image_files(root: Path) -> dict[str, Path]:
    """Return the file of every image by its name without suffix."""
    folder = require_path(root / "JPEGImages", "part of a Pascal VOC data set")
    return {path.stem: path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png")}


def require_all(names: list[str], present: Iterable[str], folder: Path, by: str = "the split") -> None:
    """Refuse names of images that are not `present` in `folder`; `by` says who names them.

    Raises:
        DataNotFoundError: There are some; up to ten are named.
    """
    if missing := [name for name in names if name not in present]:
        raise DataNotFoundError(
            f"{len(missing)} of {len(names)} files named by {by} are missing in {folder}: {listed(missing)}."
        )


def read_annotated(pairs: list[tuple[Path, Path]], repair: bool, report: DataReport) -> list[Annotated]:
    """Read the annotations of (annotation, image); refuse all bad ones together, or mend what can be mended.

    Raises:
        DataError: Annotations are malformed, or lack a size, have another than the image, or boxes that are none of it.
    """
    found, broken, doubtful = [], list[str](), list[str]()
    for xml_file, image in pairs:
        try:
            content = read_voc_file(xml_file)
            if repair and content.size is None:
                height, width, _ = read_image(image).shape
                content = VOCFile((height, width), content.objects)
                report.add(SIZED, image.name)
            elif content.size and (size := header_size(image)) not in (None, content.size):
                raise DataError(wrong_size(image.name, size, content.size))
        except DataError as problem:
            broken.append(str(problem).rstrip("."))
            continue
        doubtful += [] if repair else content.problems(xml_file)
        found.append(Annotated(xml_file, image, content))
    if broken or doubtful:
        raise refusal("The annotations have", [*broken, *doubtful], REMEDY if doubtful else "")
    return found


def record_of(
    number: int, annotated: Annotated, classes: list[str], keep_difficult: bool, report: DataReport
) -> ImageRecord:
    """Return the cleaned record of an image with the objects of `classes`; its id is its `number`, from 1."""
    kept, name = [], annotated.image.name
    for one in annotated.content.objects:
        if one["ignore"] and not keep_difficult and one["name"] in classes:
            report.add(DIFFICULT, name)
        elif one["name"] in classes:
            kept.append(one | {"label": classes.index(one["name"])})
    size = annotated.content.size or (0, 0)
    return clean_record(ImageRecord.of(number, name, size, kept), report)


def compare_objects(
    classes: list[str], annotated: list[Annotated], report: DataReport | None, remedy: str = LEAVE_OUT
) -> None:
    """Refuse objects whose class is not in `classes`, or count them in `report` where there is one.

    Args:
        classes, annotated: What is compared.
        report: None refuses.
        remedy: What the user may write to leave them out.

    Raises:
        DataError: There are some, and no report.
    """
    places: dict[str, list[str]] = {}
    for each in annotated:
        for one in each.content.objects:
            places.setdefault(one["name"], []).append(each.image.name)
    strangers = {name: images for name, images in places.items() if name not in classes}
    named = {name: f"{name!r} ({len(images)}, such as in {images[0]})" for name, images in strangers.items()}
    if report is not None:
        for name, images in strangers.items():
            report.add(UNKNOWN, named[name], len(images))
    elif strangers:
        count = sum(map(len, strangers.values()))
        raise DataError(
            f"{count} {'objects have' if count > 1 else 'object has'} a class that is not in classes"
            f" ({', '.join(classes)}): {listed([*named.values()])}. Add it to classes, or leave such objects out with"
            f" {remedy}.{class_names.meant(list(strangers), classes)}"
        )
