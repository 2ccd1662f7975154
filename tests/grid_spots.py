"""A chip model that needs no training: every cell of the grid says how bright it is, and whether it is rather red."""

from typing import Any

import numpy as np

from hatlite.program import Conv2d, IntProgram, MaxPool2d, Port, Requantize, Source, TensorType, Weight

SIDE, CELLS = 28, 14
CLASSES = ("red", "blue")
SCALE = 1 / 32
MIDDLE, EXTENT = 16, 8  # of a cell and of the picture, in steps of SCALE


def spot_program(march: str = "tidl", **metadata: Any) -> IntProgram:
    """Return a program of 28×28 pixels, B, G, R in 0…31: the brightest pixel of four makes a cell.

    The first box of a cell has its centre in the middle of the cell, a quarter of the picture as width and height, and
    the largest channel as confidence; red and blue are the classes' scores.
    """
    values = {
        "img": TensorType((SIDE, SIDE, 3), "uint8", 1.0),
        "pool": TensorType((CELLS, CELLS, 3), "uint8", 1.0),
        "out": TensorType((CELLS, CELLS, 12), "uint8", SCALE),
    }
    weight, bias = np.zeros((12, 1, 1, 3), np.int8), np.zeros(12, np.int32)
    bias[:4] = np.array([MIDDLE, MIDDLE, EXTENT, EXTENT]) << 5
    weight[4], weight[10, ..., 2], weight[11, ..., 0] = 32, 32, 32
    source = Source("spots", "grid_spots.py:1")
    pool = MaxPool2d(name="pool", inputs=("img",), output="pool", source=source, kernel=(2, 2), stride=(2, 2))
    rule = Requantize(np.array([1]), np.array([5]), 0, 31, bias_bits=16)
    conv = Conv2d(
        name="out", inputs=("pool",), output="out", source=source, weight=Weight(weight), bias=bias, requantize=rule
    )
    ports = Port("img", "img", "uint8", 1.0), Port("predictions_s2", "out", "uint8", SCALE, stride=2)
    known = {"classes": list(CLASSES), "image_format": "BGR", "input_bits": 5, "caps": [31 * SCALE], "strides": [2]}
    return IntProgram("spots", march, ports[:1], ports[1:], (pool, conv), values, {**known, **metadata})


def spot_picture(*spots: tuple[int, int, tuple[int, int, int]], height: int = 56, width: int = 112) -> np.ndarray:
    """Return (H, W, 3) uint8 RGB: black, with each cell (row, column) in its colour."""
    img = np.zeros((height, width, 3), np.uint8)
    down, right = height // CELLS, width // CELLS
    for row, column, color in spots:
        img[row * down : (row + 1) * down, column * right : (column + 1) * right] = color
    return img
