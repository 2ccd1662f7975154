"""Pictures of shapes, drawn: a data set that needs no download and is no toy.

One to six shapes of five classes, filled or outlined, slightly turned, from 5 to 60 % of the shorter image side, lie
over a textured ground. Later shapes cover earlier ones, but never so much that less than 35 % of one stays visible. A
box is that of the whole shape, hidden parts included, clipped to the image.
"""

from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["CLASSES", "MIN_VISIBLE", "SIDE_RANGE", "DrawnShape", "draw_picture"]

SIDE_RANGE = (0.05, 0.6)
"""Longer side of a shape's box, as a share of the shorter image side."""
MIN_VISIBLE = 0.35
"""Share of a shape that others may not cover."""

MAX_SHAPES = 6
SMALLNESS = 0.8  # above 1, small shapes are more frequent than large ones
MAX_TURN = np.pi / 12  # radians to either side
UPRIGHT = np.pi / 2  # turns the first corner of a shape upwards
OUTLINED_SHARE = 0.3
STRIPED_SHARE = 0.4
GREYNESS = 0.35  # how far the ground's colours are drawn towards grey, so that the shapes lead
COVERING_SHARE = 0.45  # of the shapes after the first, as many are put on or beside an earlier one
OVERHANG = 0.15  # of the side, for shapes large enough to be recognised all the same
OVERHANG_FROM = 0.2
ATTEMPTS = 30
MIN_CONTRAST = 90.0  # Euclidean distance in RGB between a shape and what it lies on
SHADOW = 0.45  # how dark a shadow is
MIN_OUTLINE = 2.0  # pixels; thinner lines do not survive a JPEG
SUBPIXEL_BITS = 4
FINER = 4  # pixels that are drawn per pixel and direction


def _polygon(angles: np.ndarray, radii: np.ndarray | float = 1.0) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.reshape(radii, (-1, 1))


def _turns(count: int) -> np.ndarray:
    return np.arange(count) * (2 * np.pi / count)


def _quarter_turns(count: int) -> np.ndarray:
    return np.linalg.matrix_power(np.array([[0.0, 1.0], [-1.0, 0.0]]), count)


_ARM = 0.33  # half the width of the cross's arm
OUTLINES = {
    "circle": _polygon(_turns(64)),
    "cross": np.concatenate([[[1, _ARM], [_ARM, _ARM], [_ARM, 1]] @ _quarter_turns(k) for k in range(4)]),
    "square": np.array([[1.0, 1.0], [-1, 1], [-1, -1], [1, -1]]),
    "star": _polygon(_turns(10), np.tile([1.0, 0.42], 5)),
    "triangle": _polygon(_turns(3)),
}
CLASSES = tuple(OUTLINES)
"""Names of the shapes; a label is an index into them."""


@dataclass
class DrawnShape:
    """A shape as it lies in the picture.

    Attributes:
        label: Index into :data:`CLASSES`.
        box: (4,) float64, xyxy, pixels: the whole shape, clipped to the image.
        side: Longer side of the unclipped box, pixels.
        occluded: Share of the shape's pixels that later shapes cover, 0…0.65.
    """

    label: int
    box: np.ndarray
    side: float
    occluded: float = 0.0


@dataclass
class _Placed:
    """A shape while the picture is being drawn.

    Attributes:
        coverage: (H, W) float32, 0…1: how much of each pixel the shape fills.
        visible: (H, W) bool: the pixels that it fills by half and that nothing covers.
        pixels: How many were visible before anything covered them.
    """

    shape: DrawnShape
    coverage: np.ndarray
    visible: np.ndarray
    pixels: int


def _noise(rng: np.random.Generator, size: tuple[int, int], cell: int) -> np.ndarray:
    """Return (H, W) float32 smooth noise in 0…1, whose grains have `cell` pixels."""
    height, width = size
    coarse = rng.random((height // cell + 2, width // cell + 2), np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def _ramp(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Return (H, W) float32 that rises by 1 over about one image side, in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    step = np.array([np.sin(angle), np.cos(angle)], np.float32) / np.float32(max(size))
    return step[0] * np.arange(size[0], dtype=np.float32)[:, None] + step[1] * np.arange(size[1], dtype=np.float32)


def _background(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Return (H, W, 3) float32 RGB, 0…255: two colours mixed by gradient, stripes and noise of several scales."""
    mix = _ramp(rng, size) * np.float32(rng.uniform(0.3, 1.0))
    for cell, weight in ((64, 0.9), (24, 0.5), (9, 0.25), (4, 0.12)):
        mix += np.float32(weight * rng.random()) * _noise(rng, size, cell)
    if rng.random() < STRIPED_SHARE:
        waves = np.sin(_ramp(rng, size) * np.float32(2 * np.pi * rng.uniform(4, 24)))
        mix += np.float32(rng.uniform(0.08, 0.3)) * waves
    mix = (mix - mix.min()) / np.ptp(mix)
    first = rng.uniform(20, 235, 3)
    first += GREYNESS * (first.mean() - first)
    second = np.clip(first + rng.uniform(-110, 110, 3), 0, 255)
    grain = rng.standard_normal((*size, 1), np.float32) * np.float32(rng.uniform(1, 6))
    return np.float32(first) + np.float32(second - first) * mix[:, :, None] + grain


def _colour(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    """Return an RGB colour that stands out against the colour `ground`."""
    for _ in range(ATTEMPTS):
        colour = rng.uniform(0, 255, 3)
        if np.linalg.norm(colour - ground) >= MIN_CONTRAST:
            return colour
    return np.where(ground < 128, 255.0, 0.0)


def _outline(rng: np.random.Generator, label: int, side: float) -> np.ndarray:
    """Return (K, 2) points of a turned shape around the origin whose box has the longer side `side`."""
    angle = UPRIGHT + rng.uniform(-MAX_TURN, MAX_TURN)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = OUTLINES[CLASSES[label]] @ turn
    low, high = points.min(axis=0), points.max(axis=0)
    return (points - (low + high) / 2) * (side / (high - low).max())


def _centre(rng: np.random.Generator, size: tuple[int, int], side: float, placed: list[_Placed]) -> np.ndarray:
    """Return (x, y): anywhere, or near an earlier shape so that the new one covers a part of it."""
    share = side / min(size)
    margin = side * (0.5 - (OVERHANG if share > OVERHANG_FROM else 0))
    edges = np.array(size[::-1], float)
    if placed and rng.random() < COVERING_SHARE:
        other = placed[rng.integers(len(placed))].shape
        middle = (other.box[:2] + other.box[2:]) / 2
        angle, distance = rng.uniform(0, 2 * np.pi), (side + other.side) / 2 * rng.uniform(0.45, 0.9)
        return np.clip(middle + distance * np.array([np.cos(angle), np.sin(angle)]), margin, edges - margin)
    return rng.uniform(margin, edges - margin)


def _rasterise(points: np.ndarray, line: float, size: tuple[int, int]) -> np.ndarray:
    """Return the (H, W) float32 coverage 0…1 of a polygon: filled where `line` is 0, else a line of that width.

    Drawn finer and averaged, because OpenCV's own smoothing spreads a filled shape by a pixel on every side.
    """
    reach = line / 2 + 1
    x1, y1 = np.maximum(np.floor(points.min(axis=0) - reach), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(points.max(axis=0) + reach), size[::-1]).astype(int)
    canvas = np.zeros((FINER * (y2 - y1), FINER * (x2 - x1)), np.uint8)
    # OpenCV puts integer coordinates at pixel centres, half a pixel from the edges that boxes are measured by
    fixed = [np.round(((points - (x1, y1)) * FINER - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)]
    if line:
        cv2.polylines(canvas, fixed, True, 255, round(line * FINER), cv2.LINE_8, SUBPIXEL_BITS)
    else:
        cv2.fillPoly(canvas, fixed, 255, cv2.LINE_8, SUBPIXEL_BITS)
    coverage = np.zeros(size, np.float32)
    fine = cv2.resize(canvas.astype(np.float32), (int(x2 - x1), int(y2 - y1)), interpolation=cv2.INTER_AREA)
    coverage[y1:y2, x1:x2] = fine / 255
    return coverage


def _try_shape(rng: np.random.Generator, size: tuple[int, int], placed: list[_Placed]) -> _Placed:
    low, high = SIDE_RANGE
    side = min(size) * (low + (high - low) * rng.random() ** SMALLNESS)
    label = int(rng.integers(len(CLASSES)))
    line = float(round(max(MIN_OUTLINE, side * rng.uniform(0.08, 0.16)))) if rng.random() < OUTLINED_SHARE else 0.0
    centre = _centre(rng, size, side, placed)
    points = _outline(rng, label, side - line) + centre
    reach = np.concatenate([points.min(axis=0) - line / 2, points.max(axis=0) + line / 2])
    box = np.clip(reach, 0, np.array(size[::-1] * 2, float))
    coverage = _rasterise(points, line, size)
    visible = coverage > 0.5
    return _Placed(DrawnShape(label, box, side), coverage, visible, max(1, int(np.count_nonzero(visible))))


def _fits(candidate: _Placed, placed: list[_Placed]) -> bool:
    """Tell whether enough of every earlier shape stays visible."""
    return all(np.count_nonzero(other.visible & ~candidate.visible) >= MIN_VISIBLE * other.pixels for other in placed)


def _paint(rng: np.random.Generator, picture: np.ndarray, new: _Placed) -> None:
    """Lay a shape with a soft shadow and a gentle light over (H, W, 3) float32, in place."""
    ground = picture[new.visible].mean(axis=0) if new.visible.any() else picture.mean(axis=(0, 1))
    colour = np.float32(_colour(rng, ground))
    reach = max(1.0, 0.06 * new.shape.side)
    x1, y1 = np.maximum(new.shape.box[:2] - 4 * reach, 0).astype(int)
    x2, y2 = np.ceil(new.shape.box[2:] + 4 * reach).astype(int)
    coverage, patch = new.coverage[y1:y2, x1:x2], picture[y1:y2, x1:x2]
    size = coverage.shape
    shift = np.array([[1, 0, rng.uniform(-reach, reach)], [0, 1, rng.uniform(0, reach)]])
    shadow = cv2.GaussianBlur(cv2.warpAffine(coverage, shift, size[::-1]), (0, 0), reach)
    patch *= 1 - SHADOW * shadow[:, :, None]
    light = 40 * (_ramp(rng, size) - np.float32(rng.random())) + 3 * rng.standard_normal(size, np.float32)
    patch += coverage[:, :, None] * (colour + light[:, :, None] - patch)


def draw_picture(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, list[DrawnShape]]:
    """Draw one picture.

    Args:
        rng: Decides everything; the same state gives the same picture.
        size: Height and width, pixels.

    Returns:
        (H, W, 3) uint8 RGB, and its one to six shapes from the bottom to the top.
    """
    picture = _background(rng, size)
    placed: list[_Placed] = []
    for _ in range(int(rng.integers(1, MAX_SHAPES + 1))):
        for _ in range(ATTEMPTS):
            candidate = _try_shape(rng, size, placed)
            if _fits(candidate, placed):
                _paint(rng, picture, candidate)
                for other in placed:
                    other.visible &= ~candidate.visible
                placed.append(candidate)
                break
    for item in placed:
        item.shape.occluded = 1 - np.count_nonzero(item.visible) / item.pixels
    return np.clip(np.round(picture), 0, 255).astype(np.uint8), [item.shape for item in placed]
