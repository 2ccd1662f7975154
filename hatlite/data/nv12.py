"""NV12, what a camera pipeline hands to an accelerator: luma of every pixel, chroma of every block of 2×2.

With the integers of :func:`hatlite.data.image.rgb_to_yuv`, U and V of a block are the mean of its four pixels, rounded
half up: (a + b + c + d + 2) >> 2. A picture with an odd side is extended by its last row or column. On the way back the
chroma of a block belongs to each of its pixels.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["NV12", "nv12_to_yuv", "yuv_to_nv12"]


@dataclass(frozen=True, eq=False)
class NV12:
    """A picture of even sides.

    Attributes:
        luma: (H, W) uint8.
        chroma: (H / 2, W / 2, 2) uint8, U and V, both with an offset of 128.
    """

    luma: np.ndarray
    chroma: np.ndarray


def yuv_to_nv12(img: np.ndarray) -> NV12:
    """Average the chroma of (H, W, 3) uint8 YUV over blocks of 2×2."""
    height, width = img.shape[:2]
    even = np.pad(img, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    chroma = even[..., 1:].astype(np.uint16)
    total = chroma[::2, ::2] + chroma[::2, 1::2] + chroma[1::2, ::2] + chroma[1::2, 1::2]
    return NV12(np.ascontiguousarray(even[..., 0]), ((total + 2) >> 2).astype(np.uint8))


def nv12_to_yuv(picture: NV12) -> np.ndarray:
    """Return (H, W, 3) uint8 YUV, every pixel with the chroma of its block."""
    chroma = picture.chroma.repeat(2, axis=0).repeat(2, axis=1)
    return np.concatenate([picture.luma[..., None], chroma], axis=2)
