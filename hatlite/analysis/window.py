"""A window on the screen, for those who want to watch; everything else goes without."""

import os
import sys

import cv2
import numpy as np

from hatlite.analysis.lettering import Color, Lettering
from hatlite.errors import MissingExtraError, OutputError

__all__ = ["Window"]

RED: Color = (220, 30, 30)
CAPITAL_SHARE = 1 / 40  # height of a capital of the note per shorter side
QUIT, PAUSE = "q", " "
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")


class Window:
    """Shows pictures, one after the other. The key q ends, the space bar pauses until it is pressed again.

    Args:
        title: Of the window.

    Raises:
        MissingExtraError: The installed OpenCV has no windows.
        OutputError: There is no screen.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        if sys.platform.startswith("linux") and not any(map(os.environ.get, SCREENS)):
            raise OutputError(  # OpenCV would end the whole process
                f"There is no screen to show {title} on: neither {' nor '.join(SCREENS)} is set; leave --show out, and"
                " pictures go to files."
            )
        try:
            cv2.namedWindow(title)
        except cv2.error as cause:
            raise MissingExtraError(
                "The installed OpenCV has no windows; leave --show out, or exchange the package"
                " opencv-python-headless: pip uninstall opencv-python-headless, then pip install hatlite[gui]."
            ) from cause

    def show(self, img: np.ndarray, note: str, *, wait: bool = False) -> bool:
        """Show a picture and tell whether to go on.

        Args:
            img: (H, W, 3) uint8 RGB; it is not changed.
            note: Written in red at the upper left.
            wait: Until a key is pressed.
        """
        noted = img.copy()
        Lettering(CAPITAL_SHARE * min(img.shape[:2])).write(noted, note, (0, 0), RED)
        cv2.imshow(self.title, cv2.cvtColor(noted, cv2.COLOR_RGB2BGR))
        key = _key(0 if wait else 1)
        while key == PAUSE and not wait:
            pressed = _key(0)
            key = "" if pressed == PAUSE else pressed if pressed == QUIT else PAUSE
        return key != QUIT


def _key(milliseconds: int) -> str:
    """Return the key that is pressed within this time, 0 for any time; an empty text where none is."""
    code = cv2.waitKey(milliseconds)
    return chr(code & 0xFF) if code >= 0 else ""
