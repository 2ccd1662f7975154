"""Several pictures as one: side by side under titles, or as a sheet."""

from collections.abc import Sequence

import cv2
import numpy as np

from hatlite.analysis.lettering import Color, Lettering
from hatlite.errors import DataError

__all__ = ["contact_sheet", "side_by_side"]

GROUND: Color = (24, 27, 32)
TITLE: Color = (242, 244, 247)
NOTE: Color = (154, 162, 173)
CAPITAL_SHARE = 1 / 54  # height of a title's capitals per longer side
SPACE_SHARE = 1 / 64  # space around a picture per longer side
SHEET_CELL = 960


def side_by_side(pictures: Sequence[np.ndarray], titles: Sequence[str], note: str = "") -> np.ndarray:
    """Put pictures beside one another, each below a bar with its title.

    Args:
        pictures: (H, W, 3) uint8 RGB, of any sizes; their tops are aligned.
        titles: One per picture, such as ``("float", "int_infer")``.
        note: Shown at the right end of the last bar, where there is room.

    Returns:
        (H′, W′, 3) uint8 RGB.

    Raises:
        DataError: There is no picture, or not one title per picture.
    """
    if not pictures or len(pictures) != len(titles):
        raise DataError(f"side_by_side: got {len(pictures)} pictures and {len(titles)} titles; expected as many.")
    longest = max(max(picture.shape[:2]) for picture in pictures)
    lettering, space = Lettering(CAPITAL_SHARE * longest), _space(longest)
    bar = lettering.height + space
    canvas = _ground(
        bar + max(picture.shape[0] for picture in pictures) + space,
        space + sum(picture.shape[1] + space for picture in pictures),
    )
    edge = space
    for picture, title in zip(pictures, titles, strict=True):
        height, width = picture.shape[:2]
        canvas[bar : bar + height, edge : edge + width] = picture
        start = edge - lettering.space  # the first letter stands above the edge of the picture
        text = lettering.fitted(title, width)
        lettering.write(canvas, text, (start, space // 2), TITLE)
        free, edge = start + lettering.width(text), edge + width + space
    note_start = edge - space + lettering.space - lettering.width(note)
    if note and note_start >= free:
        lettering.write(canvas, note, (note_start, space // 2), NOTE)
    return canvas


def contact_sheet(rows: Sequence[Sequence[np.ndarray]], cell_width: int = SHEET_CELL) -> np.ndarray:
    """Lay rows of pictures out on a grid.

    Args:
        rows: Each a row of (H, W, 3) uint8 RGB pictures, of any sizes and lengths.
        cell_width: Wider pictures are shrunk to this many pixels, with averages over areas.

    Returns:
        (H′, W′, 3) uint8 RGB; a picture stands in the middle of its cell.

    Raises:
        DataError: There is no picture.
    """
    shrunk = [[_shrink(picture, cell_width) for picture in row] for row in rows]
    if not any(shrunk):
        raise DataError("contact_sheet: there is no picture; expected at least one row with one.")
    height, width = (max(picture.shape[axis] for row in shrunk for picture in row) for axis in (0, 1))
    space = _space(max(height, width))
    canvas = _ground(space + len(shrunk) * (height + space), space + max(map(len, shrunk)) * (width + space))
    for line, row in enumerate(shrunk):
        for column, picture in enumerate(row):
            y = space + line * (height + space) + (height - picture.shape[0]) // 2
            x = space + column * (width + space) + (width - picture.shape[1]) // 2
            canvas[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return canvas


def _shrink(picture: np.ndarray, width: int) -> np.ndarray:
    if picture.shape[1] <= width:
        return picture
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def _space(longest: int) -> int:
    return max(2, round(SPACE_SHARE * longest))


def _ground(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GROUND, np.uint8)
