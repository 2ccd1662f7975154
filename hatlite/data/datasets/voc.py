"""Pascal VOC, read as it lies on the disk (:mod:`hatlite.data.datasets.voc_file` reads its files)."""

from collections.abc import Sequence
from pathlib import Path

from hatlite import class_names
from hatlite.data.datasets.base import Transform
from hatlite.data.datasets.folder import FolderDataset
from hatlite.data.datasets.report import DataReport
from hatlite.data.datasets.voc_file import names_in, read_split, require_voc
from hatlite.data.datasets.voc_folder import (
    Annotated,
    compare_objects,
    image_files,
    read_annotated,
    record_of,
    require_all,
    xml_files,
)
from hatlite.errors import DataError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["VOCFromImage"]


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
        annotations, images = xml_files(root), image_files(root)
        names = read_split(root, split, annotations)
        require_all(names, annotations, root / "Annotations")
        require_all(names, images, root / "JPEGImages")
        annotated = read_annotated([(annotations[name], images[name]) for name in names], repair, report)
        if classes is None:
            classes = sorted(set().union(*map(names_in, annotations.values())))
        else:
            compare_objects(list(classes), annotated, report if skip_unknown_classes else None)
            if not allow_absent_classes:
                _compare_classes(list(classes), annotated, annotations)
        records = [
            record_of(number, one, list(classes), keep_difficult, report) for number, one in enumerate(annotated, 1)
        ]
        super().__init__(root / "JPEGImages", records, classes=classes, transforms=transforms, report=report)


def _compare_classes(classes: list[str], annotated: list[Annotated], xml_files: dict[str, Path]) -> None:
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
