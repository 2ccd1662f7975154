"""A confusion matrix as a picture, as a table for the terminal and as CSV.

A matrix is (C + 1, C + 1) int64: row t, column d counts objects of class t that were taken for d; the last column
counts the objects that were missed, the last row what was found in the background.
"""

import csv
import io
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from hatlite.analysis.lettering import Color, Lettering, readable_on
from hatlite.analysis.sheets import GROUND, NOTE, TITLE
from hatlite.errors import DataError

__all__ = ["confusion_csv", "confusion_lines", "draw_confusion"]

BACKGROUND, MISSED = "background", "missed"
RIGHT: Color = (86, 180, 233)
WRONG: Color = (213, 94, 0)
EMPTY: Color = (38, 43, 50)
CELLS_WIDTH = 900
SMALLEST, LARGEST = 34, 150  # sides of a cell, pixels
CAPITAL = 13
SHOWN_FROM = 0.005  # a smaller share would be written as 0


def draw_confusion(counts: NDArray[np.int64], names: Sequence[str], title: str) -> NDArray[np.uint8]:
    """Draw the matrix: in each cell its share of the row in percent and, where there is room, the count.

    Right answers are blue, wrong ones orange, the more the larger the share.

    Args:
        counts: The matrix.
        names: Of the C classes.
        title: Written above it.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        DataError: The names do not fit the matrix.
    """
    _check(counts, names)
    side = min(LARGEST, max(SMALLEST, CELLS_WIDTH // len(counts)))
    lettering = Lettering(CAPITAL)
    rows, columns = [*names, BACKGROUND], [*names, MISSED]
    left = max(map(lettering.width, [*rows, "object"]))
    heads = [_upright(name, side, lettering) for name in columns]
    top = 3 * lettering.height + max(head.shape[0] for head in heads)
    width = left + max(side * len(counts), lettering.width(title)) + lettering.height
    canvas = np.full((top + side * len(counts) + lettering.height, width, 3), GROUND, np.uint8)
    lettering.write(canvas, title, (left - lettering.space, lettering.height // 2), TITLE)
    lettering.write(canvas, "detected as", (left - lettering.space, 3 * lettering.height // 2), NOTE)
    lettering.write(canvas, "object", (left - lettering.width("object"), top - lettering.height), NOTE)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for number, (name, head) in enumerate(zip(rows, heads, strict=True)):
        x, y = left + number * side, top + number * side
        shift = (side - head.shape[1]) // 2
        canvas[top - head.shape[0] : top, x + shift : x + shift + head.shape[1]] = head
        lettering.write(canvas, name, (left - lettering.width(name), y + (side - lettering.height) // 2), TITLE)
        for other in range(len(counts)):
            cell = canvas[y : y + side, left + other * side : left + (other + 1) * side]
            _fill(cell, float(shares[number, other]), int(counts[number, other]), number == other)
    return canvas


def _check(counts: NDArray[np.int64], names: Sequence[str]) -> None:
    if counts.shape != (len(names) + 1, len(names) + 1):
        raise DataError(
            f"The confusion matrix is {counts.shape} for {len(names)} classes; expected one row and column more."
        )


def _upright(name: str, side: int, lettering: Lettering) -> NDArray[np.uint8]:
    """Return a column's head: written across where it fits the column, else from below to above."""
    strip = np.full((lettering.height, lettering.width(name), 3), GROUND, np.uint8)
    lettering.write(strip, name, (0, 0), TITLE)
    return strip if strip.shape[1] <= side else cv2.rotate(strip, cv2.ROTATE_90_COUNTERCLOCKWISE)


def _fill(cell: NDArray[np.uint8], share: float, count: int, right: bool) -> None:
    """Colour the inner part of `cell` by `share` and write it, and `count` below it if the cell is large enough."""
    strongest = RIGHT if right else WRONG
    strength = share**0.5  # so that a few percent are seen
    red, green, blue = (round(e + (s - e) * strength) for e, s in zip(EMPTY, strongest, strict=True))
    cell[1:-1, 1:-1] = red, green, blue
    if not count:
        return
    ink, side = readable_on((red, green, blue)), len(cell)
    text = f"{100 * share:.0f}" if share >= SHOWN_FROM else "<1"
    roomy = side > 3 * CAPITAL * 2
    lettering = Lettering(CAPITAL if roomy else CAPITAL * 0.8)
    lines = [f"{text} %", str(count)] if roomy else [text]
    for number, line in enumerate(lines):
        x = (side - lettering.width(line)) // 2
        y = side // 2 + round((number - len(lines) / 2) * lettering.height)
        lettering.write(cell, line, (x, y), ink)


def confusion_lines(counts: NDArray[np.int64], names: Sequence[str]) -> list[str]:
    """Return the matrix for the terminal, a line for each class: how many of its objects came to what.

    Raises:
        DataError: The names do not fit the matrix.
    """
    _check(counts, names)
    heads = ("objects", "found", "confused", "missed", "of background", "most often taken for")
    width = max(map(len, ["class", *names]))
    lines = [f"{'class':<{width}}  " + "  ".join(heads)]
    for label, name in enumerate(names):
        others = counts[label, :-1].copy()
        found, others[label] = int(others[label]), 0
        worst = f"{names[others.argmax()]} ({others.max()})" if others.any() else ""
        row = (counts[label].sum(), found, others.sum(), counts[label, -1], counts[-1, label])
        cells = [f"{value:>{len(head)}}" for value, head in zip(row, heads, strict=False)]
        lines.append(f"{name:<{width}}  {'  '.join(cells)}  {worst}".rstrip())
    return lines


def confusion_csv(counts: NDArray[np.int64], names: Sequence[str]) -> str:
    """Return the counts as CSV, with the names in the first row and column.

    Raises:
        DataError: The names do not fit the matrix.
    """
    _check(counts, names)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["", *names, MISSED])
    writer.writerows([name, *row] for name, row in zip([*names, BACKGROUND], counts.tolist(), strict=True))
    return text.getvalue()
