"""Weights and biases as the bits of a chip model: 35 of a kernel of 3-bit weights, 8 of another weight, 20 of a bias.

A kernel is the window of one output channel on one input channel. They follow one another by output channel, then by
input channel; the taps of each from left to right, row by row. Bits are written from the most significant on, without
gaps, and zeros fill the last byte.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.errors import ProgramError

__all__ = [
    "BIAS_BITS",
    "kernel_bits",
    "pack_biases",
    "pack_bytes",
    "pack_kernels",
    "unpack_biases",
    "unpack_bytes",
    "unpack_kernels",
]

Shape = tuple[int, int, int, int]
"""(O, kh, kw, I), as programs have it."""

LEVELS = np.array([0, 1, 2, 4])
"""Magnitude of a tap in steps of its kernel, by its two bits."""
CODE_OF = np.full(2**7 + 1, -1, np.int16)
"""The two bits of a magnitude in steps; −1 of one that has none."""
CODE_OF[LEVELS] = range(len(LEVELS))
STEP_BITS = 8
CODE_BITS = 3
BIAS_BITS = 20


def kernel_bits(weight_bits: int, taps: int) -> int:
    """Return the bits of a kernel: 3-bit weights have a step beside their codes.

    Args:
        weight_bits: 3 or 8.
        taps: Weights of a kernel, 9 or 1.
    """
    return STEP_BITS + CODE_BITS * taps if weight_bits == CODE_BITS else weight_bits * taps


def pack_kernels(weights: NDArray[Any]) -> NDArray[np.uint8]:
    """Return 3-bit weights as bits: for each kernel its step, and for each tap a sign and two bits of magnitude.

    Of several steps that give the same weights the smallest is taken, so that the largest tap has the last level.

    Args:
        weights: (O, kh, kw, I); those of a kernel are 0, ±1, ±2 or ±4 times one number.

    Raises:
        ProgramError: A kernel has other weights.
    """
    kernels = _kernels(weights)
    magnitudes = np.abs(kernels)
    largest = magnitudes.max(1)
    steps, codes = np.full(len(kernels), -1), np.zeros_like(magnitudes)
    for level in LEVELS[1:]:  # each finds a smaller step than the one before, if any
        step = largest // level
        ratios = magnitudes // np.maximum(step, 1)[:, None]
        found = CODE_OF[ratios]
        fits = (step * level == largest) & ((ratios * step[:, None] == magnitudes) & (found >= 0)).all(1)
        steps[fits], codes[fits] = step[fits], found[fits]
    if steps.min() < 0:
        bad = int(steps.argmin())
        out, into = divmod(bad, weights.shape[3])
        raise ProgramError(
            f"the kernel of channel {into} for channel {out} is {kernels[bad].tolist()}; 3-bit weights are 0, ±1, ±2 or"
            " ±4 times one step."
        )
    fields = np.column_stack([_bits(steps[:, None], STEP_BITS), _bits((kernels < 0) * 4 + codes, CODE_BITS)])
    return np.packbits(fields)


def unpack_kernels(packed: NDArray[np.uint8], shape: Shape) -> NDArray[Any]:
    """Return the weights (O, kh, kw, I) whose :func:`pack_kernels` is `packed`.

    Raises:
        ProgramError: There are more or fewer bytes.
    """
    taps = shape[1] * shape[2]
    fields = _fields(packed, shape[0] * shape[3], kernel_bits(CODE_BITS, taps), "kernels")
    steps = _numbers(fields[:, :STEP_BITS], STEP_BITS)
    codes = _numbers(fields[:, STEP_BITS:], CODE_BITS)
    return _weights(steps * LEVELS[codes % 4] * np.where(codes >= 4, -1, 1), shape)


def pack_bytes(weights: NDArray[Any]) -> NDArray[np.uint8]:
    """Return 8-bit weights (O, kh, kw, I), two's complement, one byte each."""
    return _kernels(weights).astype(np.int8).view(np.uint8).ravel()


def unpack_bytes(packed: NDArray[np.uint8], shape: Shape) -> NDArray[Any]:
    """Return the weights (O, kh, kw, I) whose :func:`pack_bytes` is `packed`.

    Raises:
        ProgramError: There are more or fewer bytes.
    """
    _require_bytes(packed, math.prod(shape), "weights")
    return _weights(packed.view(np.int8).astype(np.int64).reshape(-1, shape[1] * shape[2]), shape)


def pack_biases(biases: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return biases as two's complement of 20 bits.

    Args:
        biases: (O,), in −2^19 … 2^19 − 1.

    Raises:
        ProgramError: One lies beyond.
    """
    limit = 2 ** (BIAS_BITS - 1)
    if biases.min() < -limit or biases.max() >= limit:
        raise ProgramError(f"biases reach from {biases.min()} to {biases.max()}; expected {BIAS_BITS} bits.")
    return np.packbits(_bits(biases.astype(np.int64)[:, None] % (2 * limit), BIAS_BITS))


def unpack_biases(packed: NDArray[np.uint8], count: int) -> NDArray[Any]:
    """Return the `count` biases whose :func:`pack_biases` is `packed`.

    Raises:
        ProgramError: There are more or fewer bytes.
    """
    values = _numbers(_fields(packed, count, BIAS_BITS, "biases"), BIAS_BITS)[:, 0]
    return np.where(values >= 2 ** (BIAS_BITS - 1), values - 2**BIAS_BITS, values)


def _kernels(weights: NDArray[Any]) -> NDArray[np.int16]:
    """(O, kh, kw, I) → (O · I, kh · kw)."""
    return weights.transpose(0, 3, 1, 2).reshape(-1, weights.shape[1] * weights.shape[2]).astype(np.int16)


def _weights(kernels: NDArray[np.int64], shape: Shape) -> NDArray[np.int64]:
    out, height, width, into = shape
    return kernels.reshape(out, into, height, width).transpose(0, 2, 3, 1)


def _bits(numbers: NDArray[Any], width: int) -> NDArray[np.uint8]:
    """(n, k) numbers → (n, k · width) zeros and ones."""
    places = np.arange(width - 1, -1, -1)
    return (numbers[:, :, None] >> places & 1).astype(np.uint8).reshape(len(numbers), -1)


def _numbers(bits: NDArray[np.uint8], width: int) -> NDArray[np.int64]:
    """(n, k · width) zeros and ones → (n, k) numbers."""
    return bits.reshape(len(bits), -1, width) @ (1 << np.arange(width - 1, -1, -1, dtype=np.int64))


def _fields(packed: NDArray[np.uint8], count: int, width: int, what: str) -> NDArray[np.uint8]:
    """The first count · width bits of as many bytes as they take, (count, width)."""
    _require_bytes(packed, -(-count * width // 8), what)
    return np.unpackbits(packed, count=count * width).reshape(count, width)


def _require_bytes(packed: NDArray[np.uint8], expected: int, what: str) -> None:
    if packed.shape != (expected,):
        raise ProgramError(f"holds {packed.size} bytes of {what}; expected {expected}.")
