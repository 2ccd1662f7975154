"""Writes a split in Pascal VOC's layout: ``JPEGImages``, ``Annotations`` and ``ImageSets/Main/<split>.txt``."""

import os
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from hatlite.errors import DataError
from hatlite.files import whole_file

__all__ = ["write_voc_split"]

_OBJECT = """  <object>
    <name>{name}</name>
    <difficult>0</difficult>
    <bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox>
  </object>
"""


def write_voc_split(
    root: Path, split: str, fill: Callable[[Path], dict[str, Any]], *, force: bool = False
) -> dict[str, Any]:
    """Let `fill` write the images into a folder and return their annotations in COCO's form; write them in VOC's.

    Images are renamed ``<split>_<name>``, so that splits share the folders. The list of the split is written last, when
    all that it names is there. Corners are rounded to the pixels that they lie in, counted from 1.

    Args:
        root: Folder of the data set.
        force: Replace a split that exists.

    Returns:
        The annotations, as `fill` returned them.

    Raises:
        DataError: The split exists and `force` is not set.
    """
    listed = root / "ImageSets" / "Main" / f"{split}.txt"
    if listed.exists():
        if not force:
            raise DataError(f"{listed} exists already; pass --force to replace the split.")
        _remove(root, listed)
    images, annotations = root / "JPEGImages", root / "Annotations"
    drawn = root / f".{split}.{os.getpid()}"
    for folder in (images, annotations, drawn):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        content = fill(drawn)
        objects = _objects(content)
        for image in content["images"]:
            name = f"{split}_{image['file_name']}"
            os.replace(drawn / image["file_name"], images / name)
            with whole_file(annotations / f"{Path(name).stem}.xml") as path:
                path.write_text(_xml(name, image, objects[image["id"]]), encoding="utf-8")
    finally:
        shutil.rmtree(drawn, ignore_errors=True)
    with whole_file(listed) as path:
        stems = (f"{split}_{Path(image['file_name']).stem}\n" for image in content["images"])
        path.write_text("".join(stems), encoding="utf-8")
    return content


def _remove(root: Path, listed: Path) -> None:
    """Remove what the list names, the list first, so that no list names what is gone."""
    stems = listed.read_text(encoding="utf-8").split()
    listed.unlink()
    for stem in stems:
        (root / "JPEGImages" / f"{stem}.jpg").unlink(missing_ok=True)
        (root / "Annotations" / f"{stem}.xml").unlink(missing_ok=True)


def _objects(content: dict[str, Any]) -> dict[int, list[str]]:
    """Return the elements of the objects by the id of their image."""
    names = {category["id"]: escape(category["name"]) for category in content["categories"]}
    objects: dict[int, list[str]] = defaultdict(list)
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        corners = (int(x) + 1, int(y) + 1, max(round(x + width), int(x) + 1), max(round(y + height), int(y) + 1))
        objects[annotation["image_id"]].append(_OBJECT.format(*corners, name=names[annotation["category_id"]]))
    return objects


def _xml(name: str, image: dict[str, Any], objects: list[str]) -> str:
    size = f"<width>{image['width']}</width><height>{image['height']}</height><depth>3</depth>"
    return f"<annotation>\n  <filename>{name}</filename>\n  <size>{size}</size>\n{''.join(objects)}</annotation>\n"
