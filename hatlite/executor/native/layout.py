"""How values lie in memory, and the structures that C reads: the twin of `step.h`.

8-bit values are unsigned bytes, signed ones with 128 added; their pictures have a border of zeros as wide as any reader
pads. Wider values lie as NumPy has them. A value's memory is used again once nothing reads it any more.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.ops.integer.engine_rules import zero_point
from hatlite.program import TensorType

__all__ = ["Kind", "Place", "Rounds", "Step", "Stores", "Tensor", "plain", "plan_memory"]

ALIGNMENT = 64


class Kind:
    """What a step does."""

    CONVOLUTION, DEPTHWISE, ADDITION, MAX_POOL, REPEAT, BILINEAR, TABLE, COPY = range(8)


class Stores:
    """What a convolution stores."""

    BYTES, WORDS, RAW = range(3)


class Rounds:
    """How a step rounds."""

    FLOAT32, WHOLE, SHIFT = range(3)


def _fields(kind: Any, names: str) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names.split()]


class Tensor(ctypes.Structure):
    """Where a value lies; see `step.h`."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        *_fields(ctypes.c_int64, "row image"),
        *_fields(ctypes.c_int32, "height width channels pixel border zero"),
    ]


class Step(ctypes.Structure):
    """One step; see `step.h`."""

    _fields_ = [
        *_fields(ctypes.c_int32, "kind stores rounds fused"),
        *_fields(Tensor, "x other y"),
        *_fields(ctypes.c_int32, "batch kernel_y kernel_x stride_y stride_x pad_y pad_x dilation_y dilation_x"),
        *_fields(ctypes.c_int32, "low high run"),
        *_fields(ctypes.c_void_p, "weight bias factor multiplier shift half right"),
        *_fields(ctypes.c_int32, "multiplier_x multiplier_other add_half add_shift add_low add_high"),
        ("table", ctypes.c_void_p),
        *_fields(ctypes.c_int32, "offset_y offset_x offset_channel"),
    ]


@dataclass(frozen=True, eq=False)
class Place:
    """A value of a batch in a buffer.

    Attributes:
        kind: dtype and (H, W, C).
        batch: Pictures.
        border: Pixels around each.
    """

    kind: TensorType
    batch: int
    border: int = 0

    @property
    def pixel(self) -> int:
        """Bytes from one pixel to the next."""
        return self.kind.shape[2] * np.dtype(self.kind.dtype).itemsize

    @property
    def row(self) -> int:
        """Bytes from one row to the next."""
        return (self.kind.shape[1] + 2 * self.border) * self.pixel

    @property
    def image(self) -> int:
        """Bytes from one picture to the next."""
        return (self.kind.shape[0] + 2 * self.border) * self.row

    @property
    def size(self) -> int:
        """Bytes of all, rounded up."""
        return -(-self.batch * self.image // ALIGNMENT) * ALIGNMENT

    @property
    def origin(self) -> int:
        """Bytes before the first pixel inside the border."""
        return self.border * (self.row + self.pixel)

    def tensor(self, address: int) -> Tensor:
        """Return the structure for memory that begins at `address`."""
        return Tensor(address + self.origin, self.row, self.image, *self.kind.shape, self.pixel, self.border, self.zero)

    @property
    def zero(self) -> int:
        """Byte that stands for the integer 0."""
        return zero_point(self.kind.dtype)


def plain(array: NDArray[Any]) -> Tensor:
    """Return the structure of a contiguous (N, H, W, C) array, its channels counted in bytes."""
    _, height, width, channels = array.shape
    pixel = channels * array.itemsize
    return Tensor(array.ctypes.data, width * pixel, height * width * pixel, height, width, pixel, pixel, 0, 0)


def plan_memory(sizes: dict[str, int], lives: dict[str, tuple[int, int]]) -> tuple[dict[str, int], int]:
    """Return name → offset and the bytes of all: no two values that live at once overlap.

    Args:
        sizes: Name → bytes.
        lives: Name → first and last step that touches it, inclusive.
    """
    placed: dict[str, int] = {}
    for name in sorted(sizes, key=lambda one: (-sizes[one], lives[one], one)):  # large ones first
        first, last = lives[name]
        taken = sorted((placed[n], sizes[n]) for n in placed if lives[n][0] <= last and first <= lives[n][1])
        offset = 0
        for start, size in taken:
            if start - offset >= sizes[name]:
                break
            offset = max(offset, start + size)
        placed[name] = offset
    return placed, max((placed[name] + sizes[name] for name in placed), default=0)
