"""Image files to pixels, with truncated files refused.

OpenCV fills the missing part of a truncated JPEG with grey and says nothing. So a JPEG must be whole before it is decoded:
its segments are followed from the first marker to the end-of-image marker (ITU-T T.81, annex B). Bytes after that marker
are allowed, since cameras write them. A PNG must hold its IEND chunk.
"""

import re

import cv2
import numpy as np

from hatlite.errors import DataError

__all__ = ["decode_image"]

START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length: TEM, RST0…RST7, SOI
NEXT_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")  # inside a scan, FF 00 is data and FF D0…D7 restarts


def _jpeg_is_whole(data: bytes) -> bool:
    position = 2
    while marker := NEXT_MARKER.match(data, position):
        code, position = data[marker.end() - 1], marker.end()
        if code == END_OF_IMAGE:
            return True
        if code not in ALONE:
            position += int.from_bytes(data[position : position + 2], "big")
        if code == START_OF_SCAN:
            following = NEXT_MARKER.search(data, position)
            position = following.start() if following else len(data)
    return False


def _is_whole(data: bytes) -> bool:
    if data.startswith(b"\xff\xd8"):
        return _jpeg_is_whole(data)
    if data.startswith(b"\x89PNG"):
        return b"IEND" in data[-64:]
    return True


def decode_image(data: bytes, name: str) -> np.ndarray:
    """Decode a JPEG or PNG file.

    The picture is taken as it is stored: an orientation tag is not applied, since boxes are measured on stored pixels.

    Args:
        data: The file's bytes.
        name: Its name, for messages.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        DataError: The file is empty, truncated or no image.
    """
    if not data:
        raise DataError(f"The image {name} is an empty file; replace it or take it out of the annotations.")
    if not _is_whole(data):
        raise DataError(f"The image {name} is truncated: its end is missing. Copy it again or take it out.")
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise DataError(f"The image {name} cannot be decoded; expected a JPEG or PNG file.")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
