"""A folded integer convolution: its integers are exact, and its gradients those of the real-valued formula."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from hatlite.ops.exact import exact_float32
from hatlite.ops.integer import reference
from hatlite.ops.integer.fixed_point import requantize
from hatlite.quantization.integer_conv import ConvConstants, fold, integer_conv

MULTIPLIER, SHIFT = 16385, 22


def constants(channels: int, **changes: object) -> ConvConstants:
    generator = torch.Generator().manual_seed(channels)
    draw = lambda low, high: torch.empty(channels, dtype=torch.float64).uniform_(low, high, generator=generator)  # noqa: E731
    values = ConvConstants(
        mean=draw(-0.5, 0.5),
        weight_unit=draw(50, 500),
        bias_unit=draw(500, 5000),
        beta_unit=draw(1000, 2500),
        multiplier=torch.full((channels,), MULTIPLIER * 2.0**-SHIFT, dtype=torch.float64),
        quant_min=0,
        quant_max=255,
        input_magnitude=255,
        geometry=((1, 1), (1, 1), (1, 1), 1),
    )
    return replace(values, **changes)


def parameters(channels: int, inputs: int = 6) -> list[torch.Tensor]:
    torch.manual_seed(channels)
    shapes = ((channels, inputs, 3, 3), (channels,), (channels,), (channels,))
    return [(torch.randn(shape) * 0.2).requires_grad_() for shape in shapes]


@given(st.integers(1, 7), st.integers(1, 9), st.sampled_from([(0, 255), (-128, 127), (0, 31)]), st.booleans())
def test_the_result_is_the_reference_of_its_own_integers(
    channels: int, inputs: int, clamp: tuple[int, int], in_train: bool
) -> None:
    c = constants(channels, quant_min=clamp[0], quant_max=clamp[1])
    tensors = parameters(channels, inputs)
    x = torch.randint(0, 256, (2, inputs, 5, 4)).float().requires_grad_(in_train)
    with torch.set_grad_enabled(in_train):
        got = integer_conv(c, x, *tensors)
        folded = fold(c, *tensors)
    weight, bias = (part.detach().numpy().astype(np.int64) for part in (folded.weight, folded.bias))
    image = x.detach().numpy().transpose(0, 2, 3, 1).astype(np.int64)
    acc = reference.conv2d(image, weight.transpose(0, 2, 3, 1), bias, padding=(1, 1))
    expected = requantize(acc, MULTIPLIER, SHIFT, *clamp)
    np.testing.assert_array_equal(got.detach().numpy().transpose(0, 2, 3, 1), expected)


def test_gradients_are_those_of_the_real_valued_formula() -> None:
    """Rounding is taken out of the formula; what remains is autograd's own conv, batch norm and clamp."""
    loud = torch.full((5,), 0.03, dtype=torch.float64)
    c, tensors = constants(5, quant_min=-128, quant_max=127, multiplier=loud), parameters(5)
    x = torch.randint(0, 256, (2, 6, 7, 8)).float().requires_grad_()
    y = integer_conv(c, x, *tensors)
    upstream = torch.randn_like(y)
    y.backward(upstream)
    got = [x.grad, *(t.grad for t in tensors)]
    weight, bias, gamma, beta = (t.detach().double().requires_grad_() for t in tensors)
    real_x = x.detach().double().requires_grad_()
    w = weight * (c.weight_unit * gamma).reshape(-1, 1, 1, 1)
    b = (bias - c.mean) * c.bias_unit * gamma + beta * c.beta_unit
    # the integers' values with the real numbers' gradients, so that both saturate at the same places
    folded = fold(c, *tensors)
    w, b = w + (folded.weight.double() - w).detach(), b + (folded.bias - b).detach()
    out = F.conv2d(real_x, w, b, padding=1) * c.multiplier.reshape(1, -1, 1, 1)
    saturated = (out.round() < -128) | (out.round() > 127)
    assert saturated.any() and not saturated.all()
    out.backward(upstream.double() * ~saturated)
    for ours, theirs in zip(got, (real_x.grad, weight.grad, bias.grad, gamma.grad, beta.grad), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=2e-5, atol=2e-5 * float(theirs.abs().max()))


def step_under_autocast(
    dtype: torch.dtype, *, enabled: bool = True, groups: int = 1
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the result of one convolution and the gradients of its image and its parameters."""
    geometry = ((1, 1), (1, 1), (1, 1), groups)
    c = constants(4, quant_min=-128, quant_max=127, multiplier=torch.full((4,), 0.03).double(), geometry=geometry)
    tensors, x = parameters(4, 6), torch.randint(0, 256, (2, 6 * groups, 7, 8)).float().requires_grad_()
    with torch.autocast("cpu", dtype, enabled=enabled), exact_float32():
        y = integer_conv(c, x, *tensors)
    y.backward(torch.randn(y.shape))
    return y, [x.grad, *(tensor.grad for tensor in tensors)]


def test_autocast_to_bfloat16_rounds_gradients_and_no_result() -> None:
    exact, full = step_under_autocast(torch.bfloat16, enabled=False)
    y, half = step_under_autocast(torch.bfloat16)
    assert torch.equal(y, exact)
    for ours, theirs in zip(half, full, strict=True):
        assert ours.dtype == torch.float32 and not torch.equal(ours, theirs)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2.0**-7 * float(theirs.abs().max()))


@pytest.mark.parametrize(("dtype", "groups"), [(torch.float16, 1), (torch.bfloat16, 2)])
def test_float16_and_groups_leave_gradients_as_they_are(dtype: torch.dtype, groups: int) -> None:
    exact, full = step_under_autocast(dtype, enabled=False, groups=groups)
    y, half = step_under_autocast(dtype, groups=groups)
    assert all(torch.equal(*pair) for pair in zip((y, *half), (exact, *full), strict=True))


def test_a_weight_that_saturates_gets_no_gradient() -> None:
    c, tensors = constants(3), parameters(3)
    with torch.no_grad():
        tensors[0][1, 2, 0, 0] = 50.0
    integer_conv(c, torch.ones(1, 6, 5, 5), *tensors).sum().backward()
    assert tensors[0].grad[1, 2, 0, 0] == 0.0
    assert (tensors[0].grad[0] != 0).any()


def test_without_batch_norm_and_bias_only_the_weight_learns() -> None:
    c = constants(4, mean=torch.zeros(4).double(), multiplier=None, quant_min=None)
    weight = nn.Parameter(torch.randn(4, 2, 3, 3))
    integer_conv(c, torch.ones(1, 2, 5, 5), weight).sum().backward()
    assert weight.grad.abs().sum() > 0


@pytest.mark.parametrize("magnitude", [255, 32767])
def test_an_accumulator_that_float32_cannot_hold_is_summed_in_float64(magnitude: int) -> None:
    c = constants(2, input_magnitude=magnitude, quant_min=-32768, quant_max=32767, geometry=((1, 1), (0, 0), (1, 1), 1))
    c = replace(c, weight_unit=torch.full((2,), 127.0).double())
    weight = torch.ones(2, 600, 3, 3)
    x = torch.full((1, 600, 3, 3), float(magnitude))
    x[0, 0, 0, 0] -= 1  # makes the sum odd, which float32 would lose
    tensors = (weight, None, None, None)
    acc = integer_conv(replace(c, multiplier=None, quant_min=None), x, *tensors)
    weights = fold(c, *tensors).weight.double()
    assert (acc.flatten() == (weights * x.double()).sum((1, 2, 3)) + fold(c, *tensors).bias).all()
    assert float(acc.abs().max()) > 2**24
