"""What the channels of an input are, and how many bits of each pixel enter the network.

An **order** names the channels: RGB, BGR, YUV (Y, U, V of :mod:`hatlite.data.image`) or YCrCb, the same colours as
Y, V, U, as OpenCV orders them. A **format** is a word of GNetDet for an order: BGR, RGB, or YUV, which is YCrCb there.

A pixel x of 8 bits becomes the nearest of 2^bits levels, min(2^bits − 1, floor(x / 2^(8 − bits) + 0.5)).
"""

import cv2
import numpy as np
import torch

from hatlite.data.image import rgb_to_yuv, yuv_to_rgb

__all__ = ["FORMATS", "ORDERS", "from_rgb", "image_from_tensor", "quantize_pixels", "split", "to_rgb"]

ORDERS = {"RGB": [0, 1, 2], "BGR": [2, 1, 0], "YUV": [0, 1, 2], "YCrCb": [0, 2, 1]}
"""Where each channel stands among R, G, B or Y, U, V; every one of these undoes itself."""

FORMATS = {"BGR": "BGR", "RGB": "RGB", "YUV": "YCrCb"}
"""The order of each format of GNetDet."""


def split(img: np.ndarray, order: str) -> list[np.ndarray]:
    """Return the three (H, W) uint8 channels in `order` of an (H, W, 3) uint8 RGB picture."""
    channels = cv2.split(rgb_to_yuv(img) if order.startswith("Y") else img)
    return [channels[index] for index in ORDERS[order]]


def from_rgb(img: np.ndarray, order: str) -> np.ndarray:
    """Return (H, W, 3) uint8 RGB in another order of `ORDERS`."""
    return cv2.merge(split(img, order))


def to_rgb(img: np.ndarray, order: str) -> np.ndarray:
    """Return (H, W, 3) uint8 in `order` as RGB; exact from RGB and BGR, else within 1."""
    channels = np.ascontiguousarray(img[..., ORDERS[order]])
    return yuv_to_rgb(channels) if order.startswith("Y") else channels


def quantize_pixels(img: np.ndarray, bits: int = 5) -> np.ndarray:
    """Return uint8 pixels 0…255 as uint8 levels 0…2^bits − 1, 1 ≤ bits ≤ 7, by the formula of the module's text."""
    shift = 8 - bits
    levels = (np.arange(256) + (1 << shift >> 1)) >> shift
    return np.minimum(levels, (1 << bits) - 1).astype(np.uint8)[img]


def image_from_tensor(img: torch.Tensor, order: str) -> np.ndarray:
    """Return (H, W, 3) uint8 RGB of a (3, H, W) float tensor of pixels 0…255 in `order`, for the eye.

    Values between pixels are rounded half to even and others clamped. Exact from RGB and BGR, else within 1.
    """
    pixels = img.detach().cpu().float().round().clamp_(0, 255)
    return to_rgb(pixels.permute(1, 2, 0).to(torch.uint8).contiguous().numpy(), order)
