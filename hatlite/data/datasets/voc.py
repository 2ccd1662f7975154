"""Pascal VOC, read as it lies on the disk (:mod:`hatlite.data.datasets.voc_file` reads its files)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hatlite import class_names
from hatlite.data.datasets.base import Transform
from hatlite.data.datasets.folder import FolderDataset
from hatlite.data.datasets.paths import require_path
from hatlite.data.datasets.record import ImageRecord, clean_record, wrong_size
from hatlite.data.datasets.report import EXAMPLES, DataReport, listed
from hatlite.data.datasets.voc_file import VOCFile, names_in, read_split, read_voc_file, require_voc
from hatlite.data.image import header_size, read_image
from hatlite.errors import DataError, DataNotFoundError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["VOCFromImage"]

DIFFICULT = "difficult objects left out (keep_difficult=False)"
UNKNOWN = "objects passed over, their class is not in classes (skip_unknown_classes=True)"
SIZED = "sizes that annotations lack taken from their images (repair=True)"
REMEDY = (
    "\n  Correct the annotations; or let repair=True (--repair of tools/voc2coco.py) take sizes from the images, clip"
    " boxes and leave out those that are none."
)


@dataclass(frozen=True)
class _Annotated:
    """An image and its annotation."""

    xml_file: Path
    image: Path
    content: VOCFile


def _xml_files(root: Path) -> dict[str, Path]:
    """Return the file of every annotation by the name of its image."""
    folder = require_path(root / "Annotations", "part of a Pascal VOC data set")
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() == ".xml"}


def _image_files(root: Path) -> dict[str, Path]:
    folder = require_path(root / "JPEGImages", "part of a Pascal VOC data set")
    return {path.stem: path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png")}


def _require_all(names: list[str], present: Iterable[str], folder: Path) -> None:
    if missing := [name for name in names if name not in present]:
        raise DataNotFoundError(
            f"{len(missing)} of {len(names)} files named by the split are missing in {folder}: {listed(missing)}."
        )


def _read(pairs: list[tuple[Path, Path]], repair: bool, report: DataReport) -> list[_Annotated]:
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
        found.append(_Annotated(xml_file, image, content))
    if broken or doubtful:
        raise _refusal([*broken, *doubtful], REMEDY if doubtful else "")
    return found


def _refusal(problems: list[str], remedy: str) -> DataError:
    """Return the error of one problem, or of all with the first ten of them."""
    if len(problems) == 1:
        return DataError(f"{problems[0]}.{remedy}")
    shown = [*problems[:EXAMPLES], *([f"and {len(problems) - EXAMPLES} more"] if len(problems) > EXAMPLES else ())]
    lines = "".join(f"\n- {problem}." for problem in shown)
    return DataError(f"The annotations have {len(problems)} problems:{lines}{remedy}")


@OBJECT_REGISTRY.register
class VOCFromImage(FolderDataset):
    """A Pascal VOC folder with ``Annotations``, ``ImageSets/Main`` and ``JPEGImages``.

    Boxes are cleaned as :func:`~hatlite.data.datasets.record.clean_record` says. An object without a difficult flag is
    none.

    Args:
        data_path: The folder.
        split: Name of a list in ``ImageSets/Main``, such as ``trainval``; of one class, such as ``dog_train``, without
            the images that are marked −1.
        transforms: Callables ``transform(sample, rng) -> sample``.
        classes: Class names in the order of their labels. None takes all names found in ``Annotations`` in alphabetical
            order, the same for every split.
        keep_difficult: Keep difficult objects as regions to ignore; otherwise leave them out.
        repair: Take the size from the image where an annotation has none, clip boxes that reach beyond their image by
            more than a pixel, and leave out those that end before they begin. Otherwise all these are refused.
        skip_unknown_classes: Leave out objects whose class is not in `classes`. Otherwise they are refused.
        allow_absent_classes: `classes` may hold names that no annotation of the folder, of whatever split, has.

    Raises:
        DataNotFoundError: The folder, the split, annotations or images are missing; up to ten are named.
        DataError: The split is empty or names an image twice, annotations are malformed, or `classes` is no list of
            names or disagrees with the annotations.
    """

    def __init__(
        self,
        data_path: str | Path,
        split: str,
        transforms: Sequence[Transform] | None = None,
        *,
        classes: Sequence[str] | None = None,
        keep_difficult: bool = True,
        repair: bool = False,
        skip_unknown_classes: bool = False,
        allow_absent_classes: bool = False,
    ) -> None:
        class_names.require_names(classes or (), type(self).__name__)
        root, report = Path(data_path), DataReport()
        require_voc(root)
        xml_files, images = _xml_files(root), _image_files(root)
        names = read_split(root, split, xml_files)
        _require_all(names, xml_files, root / "Annotations")
        _require_all(names, images, root / "JPEGImages")
        annotated = _read([(xml_files[name], images[name]) for name in names], repair, report)
        if classes is None:
            classes = sorted(set().union(*map(names_in, xml_files.values())))
        else:
            _compare_objects(list(classes), annotated, report if skip_unknown_classes else None)
            if not allow_absent_classes:
                _compare_classes(list(classes), annotated, xml_files)
        records = [
            _record(number, one, list(classes), keep_difficult, report) for number, one in enumerate(annotated, 1)
        ]
        super().__init__(root / "JPEGImages", records, classes=classes, transforms=transforms, report=report)


def _record(
    number: int, annotated: _Annotated, classes: list[str], keep_difficult: bool, report: DataReport
) -> ImageRecord:
    """Return the record of an image, whose id is its `number` in the split, from 1."""
    kept, name = [], annotated.image.name
    for one in annotated.content.objects:
        if one["ignore"] and not keep_difficult and one["name"] in classes:
            report.add(DIFFICULT, name)
        elif one["name"] in classes:
            kept.append(one | {"label": classes.index(one["name"])})
    size = annotated.content.size or (0, 0)
    return clean_record(ImageRecord.of(number, name, size, kept), report)


def _compare_objects(classes: list[str], annotated: list[_Annotated], report: DataReport | None) -> None:
    """Refuse objects whose class is not in `classes`, or count them in `report` where there is one.

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
            f" skip_unknown_classes=True.{class_names.meant(list(strangers), classes)}"
        )


def _compare_classes(classes: list[str], annotated: list[_Annotated], xml_files: dict[str, Path]) -> None:
    """Refuse `classes` that no object of the folder has.

    Raises:
        DataError: There are some.
    """
    folder = {one["name"] for each in annotated for one in each.content.objects}
    if folder.issuperset(classes):
        return
    for xml_file in set(xml_files.values()) - {each.xml_file for each in annotated}:
        folder |= names_in(xml_file)  # of all splits, since a small one may lack a class that the others have
    if missing := [name for name in classes if name not in folder]:
        raise DataError(
            f"classes has {class_names.shown(missing)}, which no object in {annotated[0].xml_file.parent} is; there are"
            f" {', '.join(sorted(folder))}. Take it out of classes (and count again for num_classes), or keep it with"
            f" allow_absent_classes=True.{class_names.meant(missing, sorted(folder))}"
        )
