"""Metadata of GNetDet: a text file with a line for each image and all of its objects.

A line is ``<image file> x1 y1 x2 y2 class [x1 y1 x2 y2 class …]``, five whole numbers for each object: the corners as
Pascal VOC counts them (:mod:`hatlite.data.datasets.voc_file`: pixels from 1, both ends included) and the place of the
class in the list of classes, from 0. An image without objects is a line with its name alone. A name with blanks stands
in double quotes; without them it ends with the last word that ends in the suffix of an image.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hatlite.data.datasets.paths import require_path
from hatlite.errors import DataError

__all__ = ["MOST_CLASSES", "MetaLine", "format_line", "parse_line", "read_meta_file", "require_countable", "write_meta"]

MOST_CLASSES = 245
"""More do not fit behind the ten channels of the two boxes of a cell."""

NUMBERS = 5  # of an object
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
NAMED = re.compile(r"(?i).*\.(?:jpe?g|png)(?=\s|$)")
WHOLE = re.compile(r"[+-]?\d{1,9}")


@dataclass(frozen=True)
class MetaLine:
    """What a line says of an image.

    Attributes:
        name: Of its file.
        objects: (x1, y1, x2, y2, class) of each, as written: corners are VOC's.
    """

    name: str
    objects: tuple[tuple[int, ...], ...] = ()


def format_line(line: MetaLine) -> str:
    """Return the text of a line, without its end."""
    plain = NAMED.fullmatch(line.name) and not re.search(r'[\s"]', line.name)
    name = line.name if plain else json.dumps(line.name, ensure_ascii=False)
    return " ".join([name, *(str(number) for one in line.objects for number in one)])


def parse_line(text: str) -> MetaLine:
    """Read a line.

    Raises:
        DataError: It names no image, or has not five whole numbers for each object; without the file and the line.
    """
    name, rest = _name_and_rest(text.strip())
    words = rest.split()
    if wrong := [word for word in words if not WHOLE.fullmatch(word)]:
        raise DataError(f"{wrong[0]!r} stands behind {name}, where whole numbers are expected, x1 y1 x2 y2 class")
    if len(words) % NUMBERS:
        raise DataError(
            f"{len(words)} numbers stand behind {name}, and an object has five, x1 y1 x2 y2 class; {len(words)} is no"
            " multiple of that"
        )
    numbers = [int(word) for word in words]
    return MetaLine(name, tuple(tuple(numbers[i : i + NUMBERS]) for i in range(0, len(numbers), NUMBERS)))


def _name_and_rest(text: str) -> tuple[str, str]:
    if quoted := QUOTED.match(text):
        try:
            return json.loads(quoted.group()), text[quoted.end() :]
        except ValueError as cause:
            raise DataError(f"{quoted.group()} is no name in quotes ({cause})") from cause
    if named := NAMED.match(text):
        return named.group(), text[named.end() :]
    raise DataError(f"{text[:40]!r} begins with no name of a .jpg, .jpeg or .png file")


def read_meta_file(path: str | Path) -> tuple[dict[int, MetaLine], list[str]]:
    """Read a file; lines that are empty are passed over.

    Returns:
        What each line says, by its number from 1; and what is wrong with others, a sentence each with file and line.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: It is no text, or names no image.
    """
    path = require_path(path, "a metadata file (made by tools/voc_to_meta.py)")
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as cause:
        raise DataError(f"{path} is no text; expected lines of an image's name and five numbers per object.") from cause
    lines, problems = dict[int, MetaLine](), []
    for number, text in enumerate(texts, 1):
        if not text.strip():
            continue
        try:
            lines[number] = parse_line(text)
        except DataError as problem:
            problems.append(f"{path}:{number}: {problem}")
    if not lines and not problems:
        raise DataError(
            f"{path} is empty; a data set needs at least one image, so make it anew (tools/voc_to_meta.py)."
        )
    return lines, problems


def write_meta(path: Path, lines: Iterable[MetaLine]) -> None:
    """Write lines to `path`, which is left to the caller to make appear whole."""
    path.write_text("".join(f"{format_line(line)}\n" for line in lines), encoding="utf-8")


def require_countable(classes: Sequence[str], owner: str) -> None:
    """Refuse more classes than GNetDet's last layer has channels for.

    Raises:
        DataError: There are more than :data:`MOST_CLASSES`.
    """
    if len(classes) > MOST_CLASSES:
        raise DataError(
            f"{owner}: there are {len(classes)} classes; GNetDet takes up to {MOST_CLASSES}. The chip's last layer has"
            " 256 channels, of which ten are of the boxes and at least one stays free; the 256 classes of GNetDet's"
            " README would need 266."
        )
