"""Text on pictures, measured and placed.

OpenCV 5 writes with a real typeface, OpenCV 4 with strokes, and what they call the height of a text differs; the height
of a capital is therefore taken from pixels once.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

__all__ = ["Color", "Lettering", "readable_on"]

Color = tuple[int, int, int]
"""R, G, B, each 0…255."""

FONT = cv2.FONT_HERSHEY_DUPLEX
BAR_HEIGHT = 1.9  # of a strip of text, in heights of a capital
SIDE_SPACE = 0.55  # left and right of the text, in heights of a capital
BLACK, WHITE = (16, 18, 22), (255, 255, 255)


@cache
def _capital() -> float:
    """Return the height of an H at scale 1, in pixels, measured at scale 8."""
    canvas = np.zeros((400, 400), np.uint8)
    cv2.putText(canvas, "H", (20, 380), FONT, 8, 255, 1, cv2.LINE_AA)
    return float((canvas > 127).any(axis=1).sum()) / 8


def readable_on(color: Color) -> Color:
    """Return black or white, whichever has the larger contrast on `color` (WCAG 2.1, relative luminance)."""
    channels = np.array(color) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    return BLACK if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else WHITE


@dataclass(frozen=True)
class Lettering:
    """Text whose capitals are `capital` pixels high, in strips of one height."""

    capital: float

    @property
    def height(self) -> int:
        """Height of a strip, pixels."""
        return max(1, round(BAR_HEIGHT * self.capital))

    @property
    def space(self) -> int:
        """Pixels left and right of the text in its strip."""
        return round(SIDE_SPACE * self.capital)

    @property
    def _scale(self) -> float:
        return self.capital / _capital()

    def width(self, text: str) -> int:
        """Return the width of a strip that holds `text`, pixels."""
        return cv2.getTextSize(text, FONT, self._scale, 1)[0][0] + 2 * self.space

    def fitted(self, text: str, width: int, keep: str = "") -> str:
        """Return ``text + keep``, the end of `text` given up for two dots until a strip of `width` pixels holds it."""
        fitted, letters = text + keep, len(text)
        while letters and self.width(fitted) > width:
            letters -= 1
            fitted = f"{text[:letters].rstrip()}..{keep}"
        return fitted if self.width(fitted) <= width else ""

    def write(self, canvas: np.ndarray, text: str, at: tuple[int, int], color: Color) -> None:
        """Write `text` into the strip whose upper left corner is `at` (x, y)."""
        baseline = at[1] + round((self.height + self.capital) / 2)
        cv2.putText(canvas, text, (at[0] + self.space, baseline), FONT, self._scale, color, 1, cv2.LINE_AA)
