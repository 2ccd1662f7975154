"""Videos and cameras as pictures, (H, W, 3) uint8 RGB, one after the other.

A file is turned upright as its own note says. It is written whole or not at all, as MPEG-4; the codec holds even sides
alone, so that an odd last row or column falls away.
"""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from hatlite.errors import DataError, DataNotFoundError, OutputError
from hatlite.files import whole_file
from hatlite.log import get_logger
from hatlite.registry import nearest

__all__ = ["VIDEO_FORMATS", "VideoReader", "video_file"]

logger = get_logger(__name__)

VIDEO_FORMATS = {".mp4": "mp4v", ".avi": "XVID"}
"""Ending of a file → its codec, which OpenCV writes with a library of its own."""

USUAL_RATE = 25.0  # where a camera or file tells none
LARGEST_RATE = 1000.0  # more is no rate but the clock's steps


class VideoReader:
    """The pictures of a video, or of a camera as long as they are asked for; use it in a ``with``.

    Args:
        source: A file, or the number of a camera, from 0.

    Attributes:
        name: What to call it.
        rate: Pictures per second as the source tells it, 25 where it tells none.
        count: Number of pictures as the file tells it; 0 for a camera, and where it tells none.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: It holds no video, or the camera cannot be opened.
    """

    def __init__(self, source: Path | int) -> None:
        self.name = f"camera {source}" if isinstance(source, int) else str(source)
        if isinstance(source, Path) and not source.exists():
            beside = [path.name for path in source.parent.iterdir()] if source.parent.is_dir() else []
            raise DataNotFoundError(
                f"video {source} does not exist; name one ending in {', '.join(VIDEO_FORMATS)} that does."
                f"{nearest(source.name, beside)}"
            )
        _be_quiet()
        self._capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
        if not self._capture.isOpened():
            raise DataError(
                f"{self.name} cannot be opened; name a camera that is there and that no other program uses."
                if isinstance(source, int)
                else f"video {source} cannot be opened; expected a whole {' or '.join(VIDEO_FORMATS)} file."
            )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if math.isfinite(rate) and 0 < rate <= LARGEST_RATE else USUAL_RATE
        self.count = 0 if isinstance(source, int) else max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the pictures.

        Raises:
            DataError: There is not even one.
        """
        decoded = 0
        while (read := self._capture.read())[0]:
            decoded += 1
            yield cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)
        if not decoded:
            raise DataError(f"{self.name} has no picture that can be decoded.")
        if decoded < self.count:
            logger.warning("%s says that it has %d pictures; %d could be decoded.", self.name, self.count, decoded)

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *error: object) -> None:
        self._capture.release()


@contextmanager
def video_file(path: Path, rate: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Give a function that adds a picture, (H, W, 3) uint8 RGB; the file appears when the block ends without an error.

    Args:
        path: Its name ends as one of :data:`VIDEO_FORMATS`.
        rate: Pictures per second.

    Raises:
        OutputError: The file cannot be written.
        DataError: A picture has another size than the first one.
    """
    with whole_file(path) as unfinished:
        writer = _Writer(path, unfinished, rate)
        try:
            yield writer.write
        finally:
            writer.release()


class _Writer:
    """OpenCV's writer, which wants to know the size first."""

    def __init__(self, path: Path, unfinished: Path, rate: float) -> None:
        self.path, self.unfinished, self.rate = path, unfinished, rate
        self.size: tuple[int, int] | None = None
        self.codec = cv2.VideoWriter_fourcc(*VIDEO_FORMATS[path.suffix.lower()])
        _be_quiet()
        self.video = cv2.VideoWriter()

    def write(self, img: np.ndarray) -> None:
        size = img.shape[1], img.shape[0]
        if self.size is None:
            self.size = size
            if not self.video.open(str(self.unfinished), self.codec, self.rate, size):
                raise OutputError(f"{self.path} cannot be written as a video of {_told(size)}; name another place.")
        if size != self.size:
            raise DataError(
                f"video {self.path} has pictures of {_told(self.size)}, and gets one of {_told(size)}; write a video of"
                " its own for each size."
            )
        self.video.write(cv2.cvtColor(img, cv2.COLOR_RGB2BGR))

    def release(self) -> None:
        self.video.release()


def _told(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]} (width×height)"


def _be_quiet() -> None:
    """Leave it to hatlite's own sentence to say what does not work; FFmpeg reads its level when it is first used."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
