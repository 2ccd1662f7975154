"""Pictures as bytes, arrays and tensors; colours between RGB and YUV.

A picture is (H, W, 3) uint8 RGB in the order of the file's own pixels: the orientation note of a camera is not applied,
because annotations count the pixels of the file.

**YUV** is BT.601 full range with a chroma offset of 128, as in JPEG (ITU-T T.871). With R, G, B in 0…255 and
the luma weights 0.299, 0.587, 0.114::

    Y = (299 R + 587 G + 114 B) / 1000
    U = 128 + (B − Y) / 1.772 = 128 + (886 B − 299 R − 587 G) / 1772
    V = 128 + (R − Y) / 1.402 = 128 + (701 R − 587 G − 114 B) / 1402

rounded half up and clamped to 0…255. These are fractions, so the result is one integer and no matter of precision.
"""

import os
import struct
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from hatlite.errors import DataError, DataNotFoundError
from hatlite.registry import nearest

__all__ = ["decode_image", "encode_jpeg", "header_size", "read_image", "rgb_to_yuv", "yuv_to_rgb"]

# The fractions above end in k/1000, k/1772 or k/1402: a value that is no tie lies at least 1/1772 from one. This nudge
# lifts ties over the edge and moves nothing else, since float32 errs by less than 1/10000 on these sums. So the fast
# form gives the integer of the definition, for every colour.
TIE_NUDGE = 1 / 4096

RGB_TO_YUV = np.array(
    [
        [299 / 1000, 587 / 1000, 114 / 1000, TIE_NUDGE],
        [-299 / 1772, -587 / 1772, 886 / 1772, 128 + TIE_NUDGE],
        [701 / 1402, -587 / 1402, -114 / 1402, 128 + TIE_NUDGE],
    ],
    np.float32,
)

_GREEN_U = 1.772 * 0.114 / 0.587
_GREEN_V = 1.402 * 0.299 / 0.587
YUV_TO_RGB = np.array(
    [
        [1, 0, 1.402, -128 * 1.402],
        [1, -_GREEN_U, -_GREEN_V, 128 * (_GREEN_U + _GREEN_V)],
        [1, 1.772, 0, -128 * 1.772],
    ],
    np.float32,
)

JPEG_START, JPEG_END, JPEG_SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA
JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # ITU-T T.81, table B.1: SOF0…SOF15, but DHT, JPG and DAC
PNG_START = b"\x89PNG\r\n\x1a\n"


def rgb_to_yuv(img: np.ndarray) -> np.ndarray:
    """Convert (H, W, 3) uint8 RGB to (H, W, 3) uint8 YUV, BT.601 full range, by the integers of the module's text."""
    return _linear(img, RGB_TO_YUV)


def yuv_to_rgb(img: np.ndarray) -> np.ndarray:
    """Convert (H, W, 3) uint8 YUV to (H, W, 3) uint8 RGB for the eye; within 1 of what :func:`rgb_to_yuv` saw."""
    return _linear(img, YUV_TO_RGB)


def _linear(img: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    colors = cv2.transform(img.astype(np.float32), matrix)
    return cv2.convertScaleAbs(np.maximum(colors, 0, out=colors))  # rounds to nearest, clamps at 255


def decode_image(data: bytes, name: str) -> np.ndarray:
    """Decode a JPEG or PNG file to (H, W, 3) uint8 RGB.

    Args:
        data: The bytes of the file.
        name: What to call it in messages.

    Raises:
        DataError: The bytes are no image, or a JPEG that ends before its picture does.
    """
    if is_truncated_jpeg(data):
        raise DataError(
            f"image {name} is a truncated JPEG of {len(data)} bytes: its end mark is missing; copy it again."
        )
    try:
        img = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as cause:
        raise DataError(f"image {name} cannot be decoded: {' '.join(str(cause).split())}.") from cause
    if img is None:
        raise DataError(f"image {name} ({len(data)} bytes) cannot be decoded; expected a JPEG or PNG file.")
    return cv2.cvtColor(img, cv2.COLOR_BGR2RGB, dst=img)


def is_truncated_jpeg(data: bytes) -> bool:
    """Tell whether `data` starts as a JPEG and has no end mark after the start of its first scan.

    A decoder would fill the missing part with grey and go on. Segments before the scan are skipped by their lengths,
    since a thumbnail among them has an end mark of its own.
    """
    if not data.startswith(JPEG_START):
        return False
    at = len(JPEG_START)
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == JPEG_SCAN:
            return data.find(JPEG_END, at) < 0
        fill = data[at + 1] == 0xFF  # markers may be preceded by fill bytes
        at += 1 if fill else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return True


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file as (H, W, 3) uint8 RGB.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: It cannot be read, or is no image.
    """
    path = Path(path)
    if not path.exists():
        folder = path.parent
        what = "does not exist" if folder.is_dir() else f"does not exist, nor does its folder {folder}"
        near = nearest(path.name, [entry.name for entry in folder.iterdir()]) if folder.is_dir() else ""
        raise DataNotFoundError(f"image {path} {what}; name a JPEG or PNG file that does.{near}")
    try:
        data = path.read_bytes()
    except OSError as cause:
        raise DataError(f"image {path} cannot be read: {cause.strerror}.") from cause
    return decode_image(data, str(path))


def header_size(path: Path) -> tuple[int, int] | None:
    """Return (height, width) as the header of a JPEG or PNG file tells them, without reading its pixels.

    None where it tells none, or the file cannot be read: :func:`read_image` says what is wrong with such a file.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(PNG_START))
            if start == PNG_START:
                width, height = struct.unpack(">8x2I", file.read(16))  # length and name of IHDR come first
            elif start.startswith(JPEG_START):
                file.seek(len(JPEG_START))
                height, width = _frame_size(file)
            else:
                return None
    except (OSError, struct.error):
        return None
    return (height, width) if min(height, width) > 0 else None


def _frame_size(file: BinaryIO) -> tuple[int, int]:
    """Return height and width of the frame of a JPEG file that stands at its first marker; 0 where none comes."""
    while True:
        sign, marker, length = struct.unpack(">BBH", file.read(4))
        if sign != 0xFF or marker == JPEG_SCAN:
            return 0, 0
        if marker in JPEG_FRAMES:
            height, width = struct.unpack(">x2H", file.read(5))
            return height, width
        file.seek(-3 if marker == 0xFF else length - 2, os.SEEK_CUR)  # markers may be preceded by fill bytes


def encode_jpeg(img: np.ndarray, quality: int = 95) -> bytes:
    """Encode (H, W, 3) uint8 RGB as a JPEG of `quality` 1…100; the same pixels give the same bytes."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(img, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()
