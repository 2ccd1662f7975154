"""Pascal VOC to COCO's layout."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hatlite.data.coco_layout import write_coco_split
from hatlite.data.datasets.voc import VOCFromImage

__all__ = ["voc_to_coco"]


def voc_to_coco(
    voc_dir: Path,
    split: str,
    out: Path,
    out_split: str,
    *,
    classes: Sequence[str] | None = None,
    copy: bool = False,
    force: bool = False,
    **reading: bool,
) -> str:
    """Write a split of a Pascal VOC folder as ``<out>/<out_split>2017`` and ``instances_<out_split>2017.json``.

    Boxes are in continuous edges and cleaned; difficult objects carry ``ignore: 1``.

    Args:
        classes: Class names in the order of the category ids (from 1); None takes all that occur, sorted.
        copy: Copy the images; otherwise link to them.
        force: Replace a split that exists.
        reading: `repair`, `skip_unknown_classes` and `allow_absent_classes` of
            :class:`~hatlite.data.datasets.voc.VOCFromImage`.

    Returns:
        A summary to print.

    Raises:
        DataError: The split is unusable (:class:`~hatlite.data.datasets.voc.VOCFromImage`), or `out_split` exists.
    """
    dataset = VOCFromImage(voc_dir, split, classes=classes, **reading)
    source = (voc_dir / "JPEGImages").resolve()

    def fill(folder: Path) -> dict[str, Any]:
        content = dataset.annotations()
        for image in content["images"]:
            origin, place = source / image["file_name"], folder / image["file_name"]
            shutil.copyfile(origin, place) if copy else place.symlink_to(origin)
        return content

    content = write_coco_split(out, out_split, fill, force=force)
    return (
        f"{len(content['images'])} images and {len(content['annotations'])} boxes of {len(dataset.classes)} classes "
        f"({', '.join(dataset.classes)}) written to {out}\n{dataset.report}"
    )
