"""Curves on axes, drawn with what draws the other pictures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hatlite.analysis.lettering import Color, Lettering
from hatlite.analysis.pictures import class_color
from hatlite.analysis.sheets import GROUND, NOTE, TITLE
from hatlite.errors import DataError

__all__ = ["Curve", "draw_legend", "draw_plot", "ticks"]

WIDTH, HEIGHT = 960, 540
CAPITAL = 13
GRID: Color = (52, 57, 65)
LINE = 2
DOTTED = 30
"""Up to so many points are shown as dots on their line."""
DOT_RADIUS = 4
MARGIN = 2 * DOT_RADIUS
"""Pixels between the outermost ticks and the plot's edge, in which a dot on one of them is whole."""
SUBPIXEL = 4  # bits behind the point of coordinates that OpenCV takes
ABOUT = 6
FAINT = 0.3


@dataclass(frozen=True)
class Curve:
    """Points to join.

    Attributes:
        x, y: (N,) float64, finite.
        number: Chooses the colour, as a class's does.
        behind: (N,) values before they were smoothed, drawn faintly; None for none.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    number: int = 0
    behind: NDArray[np.float64] | None = None


def ticks(low: float, high: float, about: int = ABOUT) -> list[float]:
    """Return multiples of 1, 2 or 5 · 10^k that cover `low`…`high`, at most `about` intervals of them.

    Raises:
        DataError: The limits are not finite numbers in order.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise DataError(f"ticks: the limits are {low} and {high}; expected finite numbers in order.")
    if low == high:
        low, high = (low - abs(low) / 2, high + abs(high) / 2) if low else (0.0, 1.0)
    exponent = math.floor(math.log10((high - low) / about))
    for size in (size * 10.0**power for power in (exponent, exponent + 1) for size in (1, 2, 5)):
        first, last = math.floor(low / size + 1e-9), math.ceil(high / size - 1e-9)
        if last - first <= about:
            break
    digits = max(0, -math.floor(math.log10(size) + 1e-9))
    return [round(number * size, digits) for number in range(first, last + 1)]


def draw_plot(title: str, curves: Sequence[Curve], x_name: str) -> NDArray[np.uint8]:
    """Draw `curves` on common axes, the first on top.

    Args:
        title: What y is.
        curves: With at least one point between them.
        x_name: What x is.

    Returns:
        (540, 960, 3) uint8 RGB.

    Raises:
        DataError: There is no point.
    """
    if not any(len(curve.x) for curve in curves):
        raise DataError(f"There is no point to draw of {title!r}.")
    canvas = np.full((HEIGHT, WIDTH, 3), GROUND, np.uint8)
    lettering = Lettering(CAPITAL)
    shown = [curve for curve in curves if len(curve.x)]
    x_ticks = ticks(*_limits([curve.x for curve in shown]))
    y_ticks = ticks(*_limits([part for curve in shown for part in (curve.y, curve.behind) if part is not None]))
    area = _Area(x_ticks, y_ticks, lettering)
    area.draw_grid(canvas, x_name)
    for curve in reversed(shown):
        color = class_color(curve.number)
        if curve.behind is not None:
            faint = tuple(round(g + (c - g) * FAINT) for c, g in zip(color, GROUND, strict=True))
            area.draw_line(canvas, curve.x, curve.behind, faint)
        area.draw_line(canvas, curve.x, curve.y, color)
    start = area.left - lettering.space
    lettering.write(canvas, title, (start, lettering.height // 2), TITLE)
    return canvas


def _limits(parts: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """Return the smallest and the largest value, 0 among them where it is no farther than they are apart."""
    low, high = min(float(part.min()) for part in parts), max(float(part.max()) for part in parts)
    return (0.0, high) if 0 < low <= high - low else (low, high)


class _Area:
    """The rectangle of the curves, and what its edges stand for."""

    def __init__(self, x_ticks: Sequence[float], y_ticks: Sequence[float], lettering: Lettering) -> None:
        self.x_ticks, self.y_ticks, self.lettering = x_ticks, y_ticks, lettering
        self.left = max(lettering.width(f"{tick:g}") for tick in y_ticks) + lettering.space
        self.right = WIDTH - lettering.width(f"{x_ticks[-1]:g}")
        self.top, self.bottom = 2 * lettering.height, HEIGHT - 2 * lettering.height

    def place(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N, 2) pixels."""
        across = (x - self.x_ticks[0]) / (self.x_ticks[-1] - self.x_ticks[0])
        up = (y - self.y_ticks[0]) / (self.y_ticks[-1] - self.y_ticks[0])
        width, height = self.right - self.left - 2 * MARGIN, self.bottom - self.top - 2 * MARGIN
        return np.stack([self.left + MARGIN + across * width, self.bottom - MARGIN - up * height], axis=1)

    def draw_grid(self, canvas: NDArray[np.uint8], x_name: str) -> None:
        """Draw a thin line and a number at every tick, and say what x is."""
        half = self.lettering.height // 2
        for tick in self.y_ticks:
            y = round(self.place(np.array([self.x_ticks[0]]), np.array([tick]))[0, 1])
            canvas[y, self.left : self.right] = GRID
            width = self.lettering.width(f"{tick:g}")
            self.lettering.write(canvas, f"{tick:g}", (self.left - width, y - half), NOTE)
        for tick in self.x_ticks:
            x = round(self.place(np.array([tick]), np.array([self.y_ticks[0]]))[0, 0])
            canvas[self.top : self.bottom, x] = GRID
            width = self.lettering.width(f"{tick:g}")
            self.lettering.write(canvas, f"{tick:g}", (x - width // 2, self.bottom), NOTE)
        middle = (self.left + self.right - self.lettering.width(x_name)) // 2
        self.lettering.write(canvas, x_name, (middle, self.bottom + round(0.8 * self.lettering.height)), NOTE)

    def draw_line(
        self, canvas: NDArray[np.uint8], x: NDArray[np.float64], y: NDArray[np.float64], color: Color
    ) -> None:
        """Join the points, and show them where they are few."""
        places = (self.place(x, y) * 2**SUBPIXEL).round().astype(np.int32)
        cv2.polylines(canvas, [places], False, color, LINE, cv2.LINE_AA, SUBPIXEL)
        for place in places if len(places) <= DOTTED else ():
            cv2.circle(canvas, place.tolist(), DOT_RADIUS << SUBPIXEL, color, cv2.FILLED, cv2.LINE_AA, SUBPIXEL)


def draw_legend(names: Sequence[str], width: int) -> NDArray[np.uint8]:
    """Name the colours of curves, in as many rows as it takes.

    Args:
        names: By number of the curve.
        width: Pixels.

    Returns:
        (H, width, 3) uint8 RGB.
    """
    lettering = Lettering(CAPITAL)
    swatch, edge = 2 * lettering.height, lettering.height
    texts = [lettering.fitted(name, width - 2 * edge - swatch) for name in names]
    places, x, row = [], edge, 0
    for text in texts:
        if x > edge and x + swatch + lettering.width(text) > width - edge:
            x, row = edge, row + 1
        places.append((x, edge // 2 + row * lettering.height))
        x += swatch + lettering.width(text)
    canvas = np.full((edge + (row + 1) * lettering.height, width, 3), GROUND, np.uint8)
    for number, (text, (x, y)) in enumerate(zip(texts, places, strict=True)):
        middle = y + lettering.height // 2
        canvas[middle - LINE : middle + LINE, x + lettering.space : x + swatch] = class_color(number)
        lettering.write(canvas, text, (x + swatch, y), TITLE)
    return canvas
