"""Integer programs that look like GNetDet on the GTI 5801, with random weights; narrow by default."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from hatlite.program import Conv2d, IntProgram, MaxPool2d, Port, Requantize, Source, TensorType, Weight, output_shape

NARROW = (4, 4, 8, 8, *[16] * 11)
WIDE = (64, 64, 128, 128, *[256] * 11)
FIVE_BITS, TEN_BITS = ("uint8", 1.0, (0, 31)), ("int16", 1 / 32, (0, 1023))
"""dtype, scale and limits of a result."""
POOLED = {448: (0, 1, 3, 6, 9), 224: (1, 3, 6, 9)}
"""Convolutions with a max pool behind them, by the size of the image."""


def gnetdet_program(
    size=448, classes=("head",), widths=NARROW, *, coded=13, ten_bits=False, pooled=None, seed=0, **metadata
) -> IntProgram:
    """Return the program.

    Args:
        size: Height and width of the image.
        classes: Their names.
        widths: Channels of all convolutions but the head.
        coded: Convolutions, from the first on, whose weights have 3 bits.
        ten_bits: Whether the output has 10 bits.
        pooled: Convolutions with a max pool behind them; default: those of the real network.
        metadata: In place of the usual.
    """
    rng = np.random.default_rng(seed)
    widths = (3, *widths, 10 + len(classes))
    values, ops, last = {"img": TensorType((size, size, 3), *FIVE_BITS)}, [], "img"

    def append(op, kind=FIVE_BITS):
        nonlocal last
        values[op.output] = TensorType(output_shape(op, values[last].shape), *kind)
        ops.append(op)
        last = op.output

    for index, (into, out) in enumerate(pairwise(widths)):
        ten = ten_bits and index == len(widths) - 2
        name = f"backbone.conv{index}" if index < len(widths) - 2 else "head.conv15"
        op = convolution(rng, name, last, (out, into), coded=index < coded, ten=ten)
        append(op, TEN_BITS if ten else FIVE_BITS)
        if index in (POOLED[size] if pooled is None else pooled):
            pool = f"backbone.pool{index}"
            append(MaxPool2d(name=pool, inputs=(last,), output=pool, kernel=(2, 2), stride=(2, 2)))
    caps = np.linspace(20, 1, len(widths) - 1).tolist()
    usual = {"classes": list(classes), "caps": caps, "image_format": "BGR", "input_bits": 5, "strides": [size // 14]}
    final = values[last]
    output = Port(f"predictions_s{size // 14}", last, final.dtype, final.scale, stride=size // 14)
    image = Port("img", "img", "uint8", 1.0)
    return IntProgram("gnetdet", "gti5801", (image,), (output,), tuple(ops), values, {**usual, **metadata})


def convolution(rng, name, value, channels, *, coded, ten=False) -> Conv2d:
    """Return a 3×3 convolution (out, in) with a ReLU, whose results use their range."""
    out, into = channels
    shape = (out, 3, 3, into)
    weights = rng.integers(-127, 128, shape)
    if coded:
        weights = rng.choice([0, 1, 2, 4], shape) * rng.choice([-1, 1], shape) * rng.integers(1, 32, (out, 1, 1, into))
    shift = round(6.5 + np.log2(into) / 2) + (not coded)
    right = shift - 5 if ten else shift
    rule = Requantize([2 ** max(-right, 0)] * out, [max(right, 0)] * out, 0, 1023 if ten else 31, bias_bits=20)
    kind = {"encoding": "codebook", "granularity": "per_kernel"} if coded else {}
    return Conv2d(
        name=name,
        inputs=(value,),
        output=name,
        source=Source(name, "gnet.py:1"),
        weight=Weight(weights.astype(np.int8), np.full(out, 2.0**-shift), **kind),
        bias=rng.integers(-(2**10), 2**10, out).astype(np.int32),
        requantize=rule,
        padding=(1, 1),
    )


def changed(program, name, **fields) -> IntProgram:
    """Return the program with other fields of the operator `name`; shapes and what follows stay as they are."""
    return replace(program, ops=tuple(replace(op, **fields) if op.name == name else op for op in program.ops))
