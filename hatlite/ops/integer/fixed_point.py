"""The definition of rounding. Everything else that rounds is a twin of this file and is tested against it.

An accumulator becomes an activation by ``y = clamp((acc · M + 2^(s−1)) >> s, quant_min, quant_max)``: one multiplier,
one adder, one arithmetic shift. Exact halves go up. M is odd with 2^14 < M < 2^15 and s lies in 1…46. Marches whose
scales are powers of two only shift: M is 1 and s ≥ 0, where 0 rounds nothing; or s is 0 and M a shift to the left.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hatlite.errors import QuantizationError
from hatlite.qparams import int_range

__all__ = [
    "ADD_MULTIPLIER_BITS",
    "MAX_SHIFT",
    "MULTIPLIER_BITS",
    "check_headroom",
    "dequantize",
    "half_of",
    "quantize",
    "quantize_add_multipliers",
    "quantize_add_shifts",
    "quantize_multiplier",
    "quantize_shift",
    "requantize",
]

MULTIPLIER_BITS = 15
ADD_MULTIPLIER_BITS = 20
MAX_SHIFT = 46
INT64_LIMIT = 2**63


def requantize(
    acc: NDArray[Any], multiplier: ArrayLike, shift: ArrayLike, quant_min: int, quant_max: int
) -> NDArray[np.int64]:
    """Return ``clamp((acc · multiplier + 2^(shift−1)) >> shift, quant_min, quant_max)``; a shift of 0 adds nothing.

    Args:
        acc: (…, C) integers.
        multiplier: Integers of shape (), (1,) or (C,): one for all channels or one each.
        shift: The same for the right shift, each ≥ 0.
        quant_min: Lower clamp; 0 applies ReLU.
        quant_max: Upper clamp.

    Raises:
        QuantizationError: An intermediate value would not fit 64 bits.
    """
    acc = np.asarray(acc, dtype=np.int64)
    multiplier = np.asarray(multiplier, dtype=np.int64)
    shift = np.asarray(shift, dtype=np.int64)
    check_headroom(_peak(acc), multiplier, shift)
    rounded = (acc * multiplier + half_of(shift)) >> shift
    return np.clip(rounded, quant_min, quant_max)


def half_of(shift: Any) -> Any:
    """Return what is added before a shift to the right, so that halves go up: 2^(shift−1), and 0 for a shift of 0."""
    return (np.int64(1) << np.asarray(shift, dtype=np.int64)) >> 1


def check_headroom(peak: ArrayLike, multiplier: ArrayLike, shift: ArrayLike) -> None:
    """Verify that ``peak · multiplier + 2^(shift−1) < 2^63``, in integers without limit.

    Args:
        peak: Largest absolute accumulators, shape () or (C,).
        multiplier: Shape (), (1,) or (C,).
        shift: Shape (), (1,) or (C,).

    Raises:
        QuantizationError: Some channel could overflow; the message names the first.
    """
    rough = np.asarray(peak, np.float64) * np.abs(np.asarray(multiplier, np.float64)) + np.ldexp(1.0, shift)
    if np.all(rough < INT64_LIMIT / 2):
        return  # far from the limit, and exact integers are slow
    needed = np.atleast_1d(_exact(peak) * abs(_exact(multiplier)) + 2 ** _exact(shift) // 2)
    for channel, value in enumerate(needed.reshape(-1)):
        if value >= INT64_LIMIT:
            raise QuantizationError(
                f"channel {channel}: |acc| · M + 2^(s-1) reaches {value}, but must stay below 2^63 = {INT64_LIMIT}."
            )


def _exact(values: ArrayLike) -> NDArray[np.object_]:
    return np.array(np.asarray(values).tolist(), dtype=object)


def _peak(acc: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Largest absolute value per channel, exact even for −2^63."""
    rows = acc.reshape(-1, acc.shape[-1] if acc.ndim else 1)
    return np.maximum(rows.max(axis=0, initial=0).astype(np.uint64), (-rows.min(axis=0, initial=0)).astype(np.uint64))


def quantize_multiplier(
    real_multiplier: ArrayLike, bits: int = MULTIPLIER_BITS
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (M, s), each shaped as `real_multiplier`, with M · 2^−s nearest to it and M odd, 2^(bits−1) < M < 2^bits.

    A multiplier below 2^(bits−1−46) takes the smallest there is: M = 2^(bits−1) + 1, s = 46.

    Args:
        real_multiplier: Positive float64 of any shape, Sx · Sw / Sy.
        bits: Width of M.

    Raises:
        QuantizationError: A value is not a positive number, or so large that s would be below 1.
    """
    real = _positive(real_multiplier)
    fraction, exponent = np.frexp(real)  # fraction in [1/2, 1)
    multiplier = 2 * np.floor(np.ldexp(fraction, bits - 1)).astype(np.int64) + 1
    shift = bits - exponent.astype(np.int64)
    _refuse_large(real, shift)
    tiny = shift > MAX_SHIFT
    return np.where(tiny, 2 ** (bits - 1) + 1, multiplier), np.where(tiny, MAX_SHIFT, shift)


def quantize_add_multipliers(ratio_a: float, ratio_b: float, bits: int = ADD_MULTIPLIER_BITS) -> tuple[int, int, int]:
    """Return (Ma, Mb, s) for ``(a · Ma + b · Mb + 2^(s−1)) >> s``, the larger multiplier in [2^(bits−1), 2^bits).

    Args:
        ratio_a: Sa / Sy, positive.
        ratio_b: Sb / Sy, positive.
        bits: Width of the multipliers.

    Raises:
        QuantizationError: A ratio is not a positive number, or so large that s would be below 1.
    """
    largest = float(max(_positive([ratio_a, ratio_b])))
    shift = bits - math.frexp(largest)[1]
    if math.floor(math.ldexp(largest, shift) + 0.5) == 2**bits:  # rounds up into the next power of two
        shift -= 1
    _refuse_large(np.asarray(largest), np.asarray(shift))
    shift = min(shift, MAX_SHIFT)
    multiplier_a, multiplier_b = (math.floor(math.ldexp(float(r), shift) + 0.5) for r in (ratio_a, ratio_b))
    return multiplier_a, multiplier_b, shift


def quantize_shift(
    real_multiplier: ArrayLike, max_left: int, max_shift: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (M, s), each shaped as `real_multiplier`, with M · 2^−s the next power of two from it upwards.

    M is 1 and s the shift to the right, or s is 0 and M = 2^k a shift to the left. A ratio below 2^−max_shift takes
    the smallest there is: s = max_shift.

    Args:
        real_multiplier: Positive float64 of any shape, Sx · Sw / Sy.
        max_left: Largest k.
        max_shift: Largest s.

    Raises:
        QuantizationError: A value is not a positive number, or needs a larger k.
    """
    shift = np.minimum(-_exponent(_positive(real_multiplier)), max_shift)
    if np.any(shift < -max_left):
        raise QuantizationError(
            f"a result has {2.0 ** -shift.min():g} steps for one of its accumulator, more than a shift to the left of"
            f" {max_left} makes; the output scale is far below the input scales."
        )
    return np.int64(1) << np.maximum(-shift, 0), np.maximum(shift, 0)


def quantize_add_shifts(ratio_a: float, ratio_b: float, bits: int, max_shift: int) -> tuple[int, int, int]:
    """Return (Ma, Mb, s) for ``(a · Ma + b · Mb + 2^(s−1)) >> s``, Ma and Mb powers of two below 2^bits, or 0.

    Both inputs are brought to the finest of the three scales. One that is finer by more than the multipliers and the
    shift can say counts as 0.

    Args:
        ratio_a: Sa / Sy, a power of two.
        ratio_b: Sb / Sy, a power of two.
        bits: Width of the multipliers.
        max_shift: Largest s.

    Raises:
        QuantizationError: A ratio is not a positive number, or so large that s would be negative.
    """
    a, b = (int(exponent) for exponent in _exponent(_positive([ratio_a, ratio_b])))
    finest = max(min(a, b, 0), max(a, b) - bits + 1, -max_shift)
    if finest > 0:
        _refuse_large(np.asarray(max(ratio_a, ratio_b)), np.asarray(0))
    first, second = (1 << (exponent - finest) if exponent >= finest else 0 for exponent in (a, b))
    return first, second, -finest


def _exponent(real: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the smallest e with 2^e ≥ real."""
    fraction, exponent = np.frexp(real)  # fraction in [1/2, 1)
    return exponent.astype(np.int64) - (fraction == 0.5)


def _positive(real: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(real, dtype=np.float64)
    wrong = values[~(np.isfinite(values) & (values > 0))]
    if wrong.size:
        raise QuantizationError(f"a real multiplier is {wrong.flat[0]}; expected a finite number above 0.")
    return values


def _refuse_large(real: NDArray[np.float64], shift: NDArray[np.int64]) -> None:
    if np.any(shift < 1):
        raise QuantizationError(
            f"a real multiplier is {real.max():g}, too large for a right shift of 1 or more; "
            "the output scale is far below the input scales."
        )


def quantize(values: ArrayLike, scale: float, dtype: str, limits: tuple[int, int] | None = None) -> NDArray[Any]:
    """Return ``clamp(floor(values / scale + 0.5))`` as an array of `dtype`, computed in float64; halves go up.

    Pixels that were centred and divided by 128 are exact at the scale 1/128.

    Args:
        values: Float numbers of any shape; infinite ones saturate.
        scale: Real value of one step, above 0.
        dtype: Integer type, such as ``int8``.
        limits: Smallest and largest integer, where they are not those of the type.

    Raises:
        QuantizationError: A value is NaN.
    """
    real = np.asarray(values, dtype=np.float64)
    if np.isnan(real).any():
        raise QuantizationError("a value to quantise is NaN; integers cannot hold it.")
    return np.clip(np.floor(real / scale + 0.5), *(limits or int_range(dtype))).astype(dtype)


def dequantize(values: NDArray[Any], scale: ArrayLike) -> NDArray[np.float32]:
    """Return ``float32(values) · float32(scale)``, one float32 multiplication per value.

    Args:
        values: (…, C) integers.
        scale: One number, or (C,) numbers for a raw accumulator.
    """
    return values.astype(np.float32) * np.asarray(scale, dtype=np.float32)
