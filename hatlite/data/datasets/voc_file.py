"""Files of Pascal VOC: annotations and the lists of splits, read and checked.

VOC numbers pixels from 1 and counts both ends: a box ``xmin … xmax`` covers the pixels xmin to xmax. In continuous
edges, which hatlite uses everywhere, that is ``xmin − 1 … xmax``, and the same for y.
"""

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from hatlite.data.datasets.paths import require_path
from hatlite.data.datasets.report import listed
from hatlite.errors import DataError, DataNotFoundError

__all__ = ["VOCFile", "names_in", "read_split", "read_voc_file", "require_voc"]

EDGES = ("xmin", "ymin", "xmax", "ymax")
FLAGS = ("difficult", "iscrowd")  # the latter where COCO was written as VOC
SLACK = 1.0  # pixels; data sets that count from 0 and rounded coordinates reach this far beyond the image


@dataclass(frozen=True)
class VOCFile:
    """What one annotation says.

    Attributes:
        size: (height, width) in pixels; None where there is none that could be an image's.
        objects: Each with `box` (xyxy, continuous edges), `name` of its class, and `ignore` where it is difficult or a
            crowd.
        said: Words for what stands there as a size; empty for nothing.
    """

    size: tuple[int, int] | None
    objects: list[dict[str, Any]]
    said: str = ""

    def problems(self, xml_file: Path | str) -> list[str]:
        """Return what is wrong with size and boxes, a sentence each; reading on would need a guess."""
        if self.size is None:
            says = f"says that its image has {self.said}" if self.said else "has no size"
            return [f"{xml_file} {says}; expected a width and a height of whole pixels above 0"]
        height, width = self.size
        found = []
        for one in self.objects:
            x1, y1, x2, y2 = one["box"]
            xml = ", ".join(f"{edge} {value:g}" for edge, value in zip(EDGES, (x1 + 1, y1 + 1, x2, y2), strict=True))
            where = f"{xml_file}: the box of {one['name']!r} ({xml})"
            if x1 + 1 > x2 or y1 + 1 > y2:
                found.append(f"{where} ends before it begins")
            elif min(x1, y1) < -SLACK or x2 > width + SLACK or y2 > height + SLACK:
                found.append(f"{where} reaches beyond the image of {width}×{height}")
        return found


def _parse(xml_file: Path) -> ElementTree.Element:
    try:
        root = ElementTree.parse(xml_file).getroot()
    except (ElementTree.ParseError, LookupError, ValueError) as cause:  # the last two are of encodings
        raise DataError(f"{xml_file} is not valid XML ({cause}); expected a Pascal VOC annotation.") from cause
    except OSError as cause:
        raise DataError(f"{xml_file} cannot be read: {cause.strerror}.") from cause
    if root.tag != "annotation":
        raise DataError(f"{xml_file} is XML of another kind: it begins with <{root.tag}>, and VOC's with <annotation>.")
    return root


def _object(element: ElementTree.Element, xml_file: Path) -> dict[str, Any]:
    """Return one object with the name of its class in place of its label."""
    name, texts = (element.findtext("name") or "").strip(), [element.findtext(f"bndbox/{edge}") for edge in EDGES]
    try:
        x1, y1, x2, y2 = edges = [float(text or "") for text in texts]
    except ValueError:
        edges = [math.nan]
    if not all(map(math.isfinite, edges)):
        raise DataError(f"{xml_file}: an object {name!r} has the bndbox {texts}; expected four numbers.")
    if not name:
        raise DataError(f"{xml_file}: an object at {texts} has no name.")
    flags = {flag: (element.findtext(flag) or "0").strip() for flag in FLAGS}
    for flag, value in flags.items():
        if value not in ("0", "1"):
            raise DataError(f"{xml_file}: an object {name!r} has the {flag} flag {value!r}; expected 0, 1 or none.")
    return {"box": (x1 - 1, y1 - 1, x2, y2), "name": name, "ignore": "1" in flags.values()}


def _size(root: ElementTree.Element) -> tuple[tuple[int, int] | None, str]:
    """Return (height, width), None where it is no size, and what is written there; 640.0 is 640."""
    texts = {side: text.strip() for side in ("width", "height") if (text := root.findtext(f"size/{side}"))}
    said = " and ".join(f"{side} {text!r}" for side, text in texts.items())
    try:
        width, height = (float(texts.get(side, "")) for side in ("width", "height"))
    except ValueError:
        return None, said
    whole = min(width, height) > 0 and width.is_integer() and height.is_integer()
    return ((int(height), int(width)) if whole else None), said


def read_voc_file(xml_file: Path) -> VOCFile:
    """Read an annotation.

    Raises:
        DataError: It is no XML, none of VOC, or an object has no name, no four numbers or a flag that is none.
    """
    root = _parse(xml_file)
    size, said = _size(root)
    return VOCFile(size, [_object(element, xml_file) for element in root.iter("object")], said)


def names_in(xml_file: Path) -> set[str]:
    """Return the names of the classes of an annotation, which nothing else is asked of.

    Raises:
        DataError: It is no XML, or none of VOC.
    """
    return {(one.findtext("name") or "").strip() for one in _parse(xml_file).iter("object")} - {""}


def require_voc(root: Path) -> None:
    """Refuse a folder that is no Pascal VOC data set.

    Raises:
        DataNotFoundError: There is no such folder, or it is the one of several years.
    """
    require_path(root, "a Pascal VOC data set")
    years = sorted(path.parent.name for path in root.glob("*/ImageSets"))
    if years and not (root / "ImageSets").exists():
        raise DataNotFoundError(
            f"{root} has no ImageSets itself; below it are the data sets {', '.join(years)}. Name one of them, such as"
            f" data_path={str(root / years[0])!r}; a ConcatDataset takes several."
        )


def read_split(root: Path, split: str, present: Collection[str]) -> list[str]:
    """Return the names of the images of a split, in its order.

    A list of one class, such as ``dog_train``, has a flag behind each name: 1 where the image holds the class, 0 where
    all that it holds is difficult, −1 where it holds none. The last ones are no images of that split.

    Args:
        root: Folder of the data set.
        split: Name of a list in ``ImageSets/Main``.
        present: Names of images that there are; a line that is one of them has no flag.

    Raises:
        DataNotFoundError: There is no such list.
        DataError: The list is no text, names no image, or one more than once.
    """
    split_file = require_path(root / "ImageSets" / "Main" / f"{split}.txt", f"the list of the split {split!r}")
    try:
        lines = [line.strip() for line in split_file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as cause:
        raise DataError(f"{split_file} is no text; expected the name of an image in each line.") from cause
    names = [name for name, holds in (_name_and_flag(line, present) for line in lines) if holds]
    if not names:
        what = "is empty" if not lines else "says of every image that it holds none (-1)"
        raise DataError(f"{split_file} {what}; a data set needs at least one image, so name another split.")
    if twice := [f"{name} ({count} times)" for name, count in Counter(names).items() if count > 1]:
        raise DataError(
            f"{split_file} names {len(twice)} of its images more than once, which would count them as often:"
            f" {listed(twice)}. Leave one line for each; to go through the pictures several times in an epoch, take a"
            " RepeatDataset."
        )
    return names


def _name_and_flag(line: str, present: Collection[str]) -> tuple[str, bool]:
    """Return the name in a line, and whether its image belongs to the split."""
    name, _, flag = line.replace("\t", " ").rpartition(" ")
    if line in present or flag not in ("1", "0", "-1"):
        return line, True
    return name.strip(), flag != "-1"
