"""Kernels of codes are taken apart and put together again."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hatlite.ops.integer.kernel_codes import has_kernel_steps, join_kernel_codes, split_kernel_codes


def test_by_hand() -> None:
    weight = np.array([[0, 6, -12], [24, -24, 6]]).reshape(1, 2, 3, 1)
    steps, codes = split_kernel_codes(weight)
    assert steps.tolist() == [[6]] and codes.ravel().tolist() == [0, 1, -2, 4, -4, 1]
    assert has_kernel_steps(weight) and not has_kernel_steps(weight + 1)


@given(st.integers(0, 2**31))
def test_apart_and_together(seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.choice([0, 1, 2, 4], (3, 3, 3, 2)) * rng.choice([-1, 1], (3, 3, 3, 2))
    weight = join_kernel_codes(rng.integers(0, 32, (3, 2)), codes)
    assert has_kernel_steps(weight)
    assert np.array_equal(join_kernel_codes(*split_kernel_codes(weight)), weight)
    weight[0, 0, 0, 0], weight[0, 1, 1, 0] = 3, 1
    assert not has_kernel_steps(weight), "three steps are none that there is"
