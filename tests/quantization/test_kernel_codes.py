"""Kernels of codes: the formula by hand, what holds for all weights, and what a fitted step is worth."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hatlite.quantization.kernel_codes import KERNEL_STEPS, kernel_reach, quantize_kernels

KERNELS = st.lists(st.floats(-127, 127, width=32), min_size=9, max_size=9)


def kernel(*taps: float) -> torch.Tensor:
    return torch.tensor(taps, dtype=torch.float32).reshape(1, 1, 3, 3)


def test_a_kernel_by_hand() -> None:
    taps = kernel(0, 2, -4, 5.5, -8, 12, 12.5, -20, 8)  # the mean magnitude is 8, the step 2
    assert quantize_kernels(taps).flatten().tolist() == [0, 2, -4, 4, -8, 8, 8, -8, 8]


def test_nothing_exceeds_the_mean_and_a_small_kernel_vanishes() -> None:
    assert quantize_kernels(kernel(*[1.9] * 9)).flatten().tolist() == [0.0] * 9, "a quarter of 1.9 is rounded to 0"
    assert quantize_kernels(kernel(*[-2.0] * 9)).flatten().tolist() == [-4.0] * 9, "half a step goes away from 0"
    assert quantize_kernels(kernel(*[0.0] * 9)).flatten().tolist() == [0.0] * 9
    assert quantize_kernels(kernel(*[127.0] * 9)).flatten().tolist() == [124.0] * 9, "31 is the largest step"


def test_the_fitted_step_by_hand() -> None:
    taps = kernel(0, 2, -4, 8, -8, 2, 0, -8, 4)
    assert quantize_kernels(taps, "mse").equal(taps), "what codes can say is kept"
    assert quantize_kernels(kernel(*[0.0] * 9), "mse").equal(kernel(*[0.0] * 9))


@given(KERNELS, KERNELS, st.sampled_from(list(KERNEL_STEPS)))
def test_every_kernel_has_one_step(first: list[float], second: list[float], step: str) -> None:
    weight = torch.cat([kernel(*first), kernel(*second)])
    before = weight.clone()
    for row in quantize_kernels(weight, step).abs().flatten(1):
        levels = row[row > 0]
        assert levels.numel() == 0 or set((levels / levels.min()).tolist()) <= {1.0, 2.0, 4.0}
        assert row.max() <= 124 and row.equal(row.round())
    assert weight.equal(before)


@given(KERNELS)
def test_the_mean_step_is_the_formula(taps: list[float]) -> None:
    exact = np.abs(np.array(taps, np.longdouble))
    total = exact.sum()
    codes = np.where(36 * exact >= 3 * total, 4, np.floor(36 * exact / max(total, 1e-30)))
    step = min(float(np.floor(total / 36 + 0.5)), 31.0)
    near = np.abs(36 * exact - np.round(36 * exact / max(total, 1e-30)) * total) < 1e-9 * (1 + total)
    got = quantize_kernels(kernel(*taps)).flatten().double().abs().numpy()
    assert ((got == codes * step) | near | (abs(total / 36 % 1 - 0.5) < 1e-9)).all()


@given(KERNELS, st.integers(1, 8))
def test_signs_and_powers_of_two_change_nothing_else(taps: list[float], exponent: int) -> None:
    weight = kernel(*taps)
    assert quantize_kernels(-weight).equal(-quantize_kernels(weight))
    assert float(kernel_reach(weight * 2**exponent)) == pytest.approx(float(kernel_reach(weight)) * 2**exponent)


def test_a_fitted_step_leaves_a_third_of_the_error_of_the_mean() -> None:
    torch.manual_seed(0)
    weight = torch.randn(32, 32, 3, 3) * 28
    errors = {step: float((quantize_kernels(weight, step) - weight).norm() / weight.norm()) for step in KERNEL_STEPS}
    assert 0.44 < errors["mean"] < 0.48 and errors["mse"] < 0.17


def test_the_reach_is_the_largest_level() -> None:
    weight = torch.cat([kernel(*[1.0] * 9), kernel(9, *[0.0] * 8)])
    assert float(kernel_reach(weight)) == pytest.approx(1.0), "the mean magnitude of both is 1"
    assert float(kernel_reach(weight, "mse")) == pytest.approx(9.0)
