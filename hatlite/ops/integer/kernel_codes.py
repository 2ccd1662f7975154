"""Kernels whose weights are 0, 1, 2 or 4 times a step of their own, with signs: taken apart, and put together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["has_kernel_steps", "join_kernel_codes", "split_kernel_codes"]

LEVELS = (0, 1, 2, 4)


def has_kernel_steps(weight_OhwI: NDArray[Any], levels: Sequence[int] = LEVELS) -> bool:
    """Return whether the magnitudes of every kernel are `levels` times one whole step.

    Args:
        weight_OhwI: Integers; a kernel is the window of one output channel on one input channel.
        levels: Rising, from 0 and 1 on.
    """
    steps, codes = split_kernel_codes(weight_OhwI)
    return bool(np.isin(np.abs(codes), levels).all()) and np.array_equal(join_kernel_codes(steps, codes), weight_OhwI)


def split_kernel_codes(weight_OhwI: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the step of every kernel (O, I), and the weights in steps (O, h, w, I).

    The step is the smallest magnitude above 0, and 0 where all weights are 0.
    """
    weight = weight_OhwI.astype(np.int64)
    magnitudes = np.where(weight == 0, np.iinfo(np.int64).max, np.abs(weight)).min(axis=(1, 2))
    steps = np.where((weight == 0).all(axis=(1, 2)), 0, magnitudes)
    return steps, np.sign(weight) * (np.abs(weight) // np.maximum(steps, 1)[:, None, None])


def join_kernel_codes(steps_OI: NDArray[Any], codes_OhwI: NDArray[Any]) -> NDArray[np.int64]:
    """Return the weights (O, h, w, I) that steps and codes stand for."""
    return codes_OhwI.astype(np.int64) * steps_OI.astype(np.int64)[:, None, None]
