"""Boxes drawn on pictures, for the eye.

Rules:

- A picture whose longer side is below 640 pixels is enlarged first, by the smallest whole factor that reaches 640, so
  that text is readable and one pixel of the file stays a square of pixels. Lines and text grow with larger pictures.
- A class has one colour, of the palette that Okabe and Ito made for all kinds of colour vision (Color Universal Design,
  2008). Seven hues are as many as everybody can tell apart: classes 7…13 have them lighter, 14…20 darker, then they
  repeat; the tag names the class.
- A tag lies above its box or, where that would cover another tag or leave the picture, at the next free place of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from hatlite.analysis.lettering import Color, Lettering, readable_on
from hatlite.errors import ConfigError, DataError
from hatlite.structures import Detections

__all__ = ["class_color", "describe_detections", "draw_detections", "draw_ground_truth", "enlargement"]

READABLE_SIDE = 640
PALETTE: tuple[Color, ...] = (
    (0, 114, 178),  # blue
    (230, 159, 0),  # orange
    (0, 158, 115),  # bluish green
    (213, 94, 0),  # vermillion
    (86, 180, 233),  # sky blue
    (204, 121, 167),  # reddish purple
    (240, 228, 66),  # yellow
)
SHADES = (None, (255, 255, 255), (0, 0, 0))
SHADE_SHARE = 0.45

LINE_SHARE = 1 / 220  # thickness of a line per longer side
CAPITAL_SHARE = 1 / 68  # height of a capital per longer side
CORNER_SHARE = 1 / 4  # length of a bracket at a corner per shorter side of its box
CASING: Color = (16, 18, 22)  # a dark edge on both sides of a line, which keeps it visible on any ground
CASING_OPACITY = 0.7
GROUND_TRUTH: Color = (255, 255, 255)
IGNORED = "ignored"
IGNORED_COLOR: Color = (150, 150, 150)


@dataclass(frozen=True)
class Frame:
    """One box to draw: (4,) xyxy edges and the thickness in pixels of the canvas; without a tag if `name` is empty.

    With `corners` there are brackets at the four corners in place of the whole line.
    """

    box: np.ndarray
    color: Color
    thickness: int
    name: str = ""
    score: str = ""
    corners: bool = False


def class_color(label: int) -> Color:
    """Return the colour of class `label`, 0 or above."""
    color, shade = PALETTE[label % len(PALETTE)], SHADES[label // len(PALETTE) % len(SHADES)]
    if shade is None:
        return color
    red, green, blue = (round(c + (s - c) * SHADE_SHARE) for c, s in zip(color, shade, strict=True))
    return red, green, blue


def enlargement(image: np.ndarray) -> int:
    """Return the whole factor by which a picture is enlarged before anything is drawn on it."""
    return -(-READABLE_SIDE // max(image.shape[:2]))


def draw_detections(
    image: np.ndarray,
    detections: Detections,
    classes: Sequence[str],
    score_threshold: float = 0.3,
    *,
    ground_truth: np.ndarray | None = None,
    corners: bool = False,
    enlarge: bool = True,
) -> np.ndarray:
    """Draw what was found, the best on top.

    Args:
        image: (H, W, 3) uint8 RGB; it is not changed.
        detections: Boxes in pixels of `image`.
        classes: Names; a label beyond them is shown as a number.
        score_threshold: Smallest score to draw.
        ground_truth: (N, 4) xyxy boxes in pixels of `image`, drawn below as thin white lines without tags.
        corners: Draw brackets at the corners of what was found, in place of whole lines.
        enlarge: Enlarge a small picture first, so that names can be read.

    Returns:
        (k·H, k·W, 3) uint8 RGB, k by :func:`enlargement`, or 1.

    Raises:
        DataError: `image` is no picture.
        ConfigError: The threshold lies outside 0…1.
    """
    factor = enlargement(image) if enlarge else 1
    canvas = _canvas(image, factor)
    thickness = _thickness(canvas)
    thin = max(1, thickness // 2)
    frames = [Frame(box * factor, GROUND_TRUTH, thin) for box in np.reshape(_array(ground_truth), (-1, 4))]
    for box, score, label in reversed(_shown(detections, score_threshold)):
        tag = _name(label, classes), f" {score:.2f}"
        frames.append(Frame(box * factor, class_color(label), thickness, *tag, corners=corners))
    return _draw(canvas, frames)


def draw_ground_truth(image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Draw annotated objects as :func:`draw_detections` draws found ones; regions to ignore are grey.

    Args:
        image: (H, W, 3) uint8 RGB; it is not changed.
        boxes: (N, 4) float32, xyxy, pixels.
        labels: (N,) int64; −1 marks a region to ignore.
        classes: Names.

    Returns:
        (k·H, k·W, 3) uint8 RGB, k by :func:`enlargement`.

    Raises:
        DataError: `image` is no picture.
    """
    factor = enlargement(image)
    canvas = _canvas(image, factor)
    thickness = _thickness(canvas)
    frames = []
    for box, label in zip(_array(boxes), map(int, labels), strict=True):
        color = class_color(label) if label >= 0 else IGNORED_COLOR
        frames.append(Frame(box * factor, color, thickness, _name(label, classes)))
    return _draw(canvas, frames)


def describe_detections(detections: Detections, classes: Sequence[str], score_threshold: float = 0.3) -> list[str]:
    """Return one line per detection that :func:`draw_detections` shows: class, score, x1 y1 x2 y2 in pixels.

    Raises:
        ConfigError: The threshold lies outside 0…1.
    """
    shown = _shown(detections, score_threshold)
    width = max((len(_name(label, classes)) for _, _, label in shown), default=0)
    return [
        f"{_name(label, classes):<{width}}  {score:.3f}  " + " ".join(f"{edge:7.1f}" for edge in box)
        for box, score, label in shown
    ]


def _shown(detections: Detections, score_threshold: float) -> list[tuple[np.ndarray, float, int]]:
    """Return box, score and label of the detections to show, best first."""
    if not 0 <= score_threshold <= 1:
        raise ConfigError(f"The score threshold is {score_threshold}; expected a number in 0…1, such as 0.3.")
    columns = [_array(values) for values in (detections.boxes, detections.scores, detections.labels)]
    rows = zip(*columns, strict=True)
    return [(box, float(score), int(label)) for box, score, label in rows if score >= score_threshold]


def _array(values: object) -> np.ndarray:
    """Return a tensor of any device, an array or None as an array."""
    if values is None:
        return np.empty((0, 4))
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _name(label: int, classes: Sequence[str]) -> str:
    if label < 0:
        return IGNORED
    return str(classes[label]) if label < len(classes) else f"class {label}"


def _canvas(image: np.ndarray, factor: int) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise DataError(f"A picture is {image.shape} {image.dtype}; expected (H, W, 3) uint8 RGB with pixels in it.")
    if factor == 1:
        return np.ascontiguousarray(image).copy()
    return cv2.resize(np.ascontiguousarray(image), None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def _thickness(canvas: np.ndarray) -> int:
    return max(2, round(LINE_SHARE * max(canvas.shape[:2])))


def _draw(canvas: np.ndarray, frames: Sequence[Frame]) -> np.ndarray:
    cased = canvas.copy()
    for frame in frames:
        _draw_line(cased, frame, CASING, widened=1)
    cv2.addWeighted(cased, CASING_OPACITY, canvas, 1 - CASING_OPACITY, 0, dst=canvas)
    for frame in frames:
        _draw_line(canvas, frame, frame.color)
    _draw_tags(canvas, [frame for frame in frames if frame.name])
    return canvas


def _draw_line(canvas: np.ndarray, frame: Frame, color: Color, widened: int = 0) -> None:
    """Draw the line around the frame's box, `widened` by pixels on both sides."""
    thickness = frame.thickness + 2 * widened
    x1, y1, x2, y2 = _outline(canvas, frame)
    left, top = max(x1 - widened, 0), max(y1 - widened, 0)
    right, bottom = x2 + widened, y2 + widened
    rows, columns = [(top, bottom)], [(left, right)]
    if frame.corners:
        length = max(frame.thickness, round(CORNER_SHARE * min(x2 - x1, y2 - y1))) + 2 * widened
        rows = [(top, top + length), (max(bottom - length, 0), bottom)]
        columns = [(left, left + length), (max(right - length, 0), right)]
    for start, stop in columns:
        canvas[top : top + thickness, start:stop] = color
        canvas[max(bottom - thickness, 0) : bottom, start:stop] = color
    for start, stop in rows:
        canvas[start:stop, left : left + thickness] = color
        canvas[start:stop, max(right - thickness, 0) : right] = color


def _outline(canvas: np.ndarray, frame: Frame) -> tuple[int, int, int, int]:
    """Return the outer x1, y1, x2, y2 of a line whose middle lies on the box.

    The line fills whole pixels, which is crisper than the smoothing of a part of one, and stays inside the canvas.
    """
    size = np.array(canvas.shape[1::-1] * 2)
    outer = np.reshape(frame.box, (2, 2)) + np.array([[-1], [1]]) * frame.thickness / 2
    x1, y1, x2, y2 = np.clip(np.nan_to_num(outer.round().ravel()), 0, size).astype(int).tolist()
    least = 2 * frame.thickness  # an edge of the box outside the canvas would leave nothing to see
    x1, y1 = min(x1, max(0, canvas.shape[1] - least)), min(y1, max(0, canvas.shape[0] - least))
    return x1, y1, max(x2, min(x1 + least, canvas.shape[1])), max(y2, min(y1 + least, canvas.shape[0]))


def _draw_tags(canvas: np.ndarray, frames: Sequence[Frame]) -> None:
    """Place the tags of the best first, then draw them with the best on top."""
    height, width = canvas.shape[:2]
    lettering = Lettering(min(CAPITAL_SHARE * max(height, width), height / 3))
    tags: list[tuple[tuple[int, int, int, int], str, Color]] = []
    for frame in reversed(frames):
        text = lettering.fitted(frame.name, width, keep=frame.score)
        size = min(lettering.width(text), width), lettering.height
        place = _best_place(canvas, frame, size, [rectangle for rectangle, _, _ in tags])
        tags.append((place, text, frame.color))
    for (x1, y1, x2, y2), text, color in reversed(tags):
        canvas[y1:y2, x1:x2] = color
        lettering.write(canvas, text, (x1, y1), readable_on(color))


def _best_place(
    canvas: np.ndarray, frame: Frame, size: tuple[int, int], taken: Sequence[tuple[int, int, int, int]]
) -> tuple[int, int, int, int]:
    """Return the x1, y1, x2, y2 of a tag of `size` (width, height): the first place that costs least."""
    width, height = size
    rectangles, costs = [], []
    for x, y in _places(canvas, frame, size):
        inside_x = min(max(x, 0), canvas.shape[1] - width)
        inside_y = min(max(y, 0), canvas.shape[0] - height)
        place = (inside_x, inside_y, inside_x + width, inside_y + height)
        moved = abs(inside_y - y) * width + abs(inside_x - x) * height  # what it would have left the picture by
        rectangles.append(place)
        costs.append(moved + sum(_overlap(place, other) for other in taken))
    return rectangles[int(np.argmin(costs))]


def _places(canvas: np.ndarray, frame: Frame, size: tuple[int, int]) -> Iterable[tuple[int, int]]:
    """Yield upper left corners: above the box, below it, inside it; at its left edge, then at its right one."""
    x1, y1, x2, y2 = _outline(canvas, frame)
    width, height = size
    for x in (x1, x2 - width):
        for y in (y1 - height, y1, y2, y2 - height):
            yield x, y


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> int:
    """Return the shared area of two rectangles, square pixels."""
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
