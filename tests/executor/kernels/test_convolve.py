"""Sums stay exact whatever algorithm a library chooses: a shape whose convolutions transform values is found."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from hatlite.executor.kernels import convolve
from hatlite.executor.kernels.convolve import Convolution, by_taps
from hatlite.ops.integer import reference

DIRECT = F.conv2d


def drawn(seed, groups=1, kernel=(3, 3), channels=4):
    rng = np.random.default_rng(seed)
    weight = rng.integers(-127, 128, (2 * groups, channels, *kernel))
    x = rng.integers(-128, 128, (2, channels * groups, 9, 11))
    return torch.from_numpy(x).float(), torch.from_numpy(weight).float(), torch.arange(2.0 * groups) - 1


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    groups=st.sampled_from([1, 2, 3]),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
)
def test_tap_by_tap_it_is_the_reference(seed, groups, kernel, **window):
    x, weight, bias = drawn(seed, groups, kernel)
    got = by_taps(x, weight, bias, groups=groups, **window)
    as_ints = (x.permute(0, 2, 3, 1), weight.permute(0, 2, 3, 1), bias)
    expected = reference.conv2d(*(part.long().numpy() for part in as_ints), groups=groups, **window)
    np.testing.assert_array_equal(got.permute(0, 2, 3, 1).numpy(), expected)
    assert got.dtype == torch.float64 and got.is_contiguous(memory_format=torch.channels_last)


def winograd(x, weight, bias=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """F(2×2, 3×3) in the type of its operands: on 8-bit operands of few channels it happens to be exact."""
    kind = x.dtype
    b = torch.tensor([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], dtype=kind)
    g = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], dtype=kind)
    a = torch.tensor([[1, 1, 1, 0], [0, 1, -1, -1]], dtype=kind)
    height, width = (side + 2 * p - 2 for side, p in zip(x.shape[2:], padding, strict=True))
    x = F.pad(x, (padding[1], padding[1] + 2, padding[0], padding[0] + 2))
    tiles = x.unfold(2, 4, 2).unfold(3, 4, 2)
    products = torch.einsum("ncyxij,ocij->noyxij", b @ tiles @ b.T, g @ weight @ g.T)
    y = (a @ products @ a.T).permute(0, 1, 2, 4, 3, 5).flatten(4, 5).flatten(2, 3)[:, :, :height, :width]
    return y if bias is None else y + bias.view(-1, 1, 1)


def short(bits):
    """A convolution whose operands keep `bits` bits, as TF32 (11) and bfloat16 (8) do."""

    def convolution(x, weight, *rest, **window):
        keep = lambda part: (part.view(torch.int32) & (-1 << (24 - bits))).view(torch.float32)  # noqa: E731
        return DIRECT(keep(x), keep(weight), *rest, **window)

    return convolution


def fourier(x, weight, bias=None, padding=(0, 0), **window):
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    size = x.shape[2:]
    spectrum = torch.einsum("nchw,ochw->nohw", torch.fft.rfft2(x, size), torch.fft.rfft2(weight, size).conj())
    y = torch.fft.irfft2(spectrum, size)[:, :, : size[0] - weight.shape[2] + 1, : size[1] - weight.shape[3] + 1]
    return y if bias is None else y + bias.view(-1, 1, 1)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_direct_convolution_is_trusted_and_asked_once_for_a_shape(monkeypatch, kind):
    calls = []
    monkeypatch.setattr(convolve, "DIRECT_DEVICES", ())
    monkeypatch.setattr(F, "conv2d", lambda *args, **window: calls.append(args[0]) or DIRECT(*args, **window))
    x, weight, bias = (part.to(kind) for part in drawn(1))
    layer = Convolution(weight, bias, padding=(1, 1))
    for _ in range(3):
        assert torch.equal(layer(x).double(), by_taps(x, weight, bias, padding=(1, 1)))
    assert len(calls) == 4 and list(layer.direct.values()) == [True]
    layer(x[:1])
    assert len(calls) == 6 and len(layer.direct) == 2


@pytest.mark.parametrize(
    "algorithm", [winograd, fourier, short(11), short(8)], ids=["winograd", "fourier", "tf32", "bf16"]
)
def test_what_transforms_or_shortens_values_is_found_and_replaced(monkeypatch, caplog, algorithm):
    x, weight, bias = drawn(2)
    monkeypatch.setattr(convolve, "DIRECT_DEVICES", ())
    monkeypatch.setattr(F, "conv2d", algorithm)
    layer = Convolution(weight, bias, padding=(1, 1))
    assert torch.equal(layer(x), by_taps(x, weight, bias, padding=(1, 1)))
    assert list(layer.direct.values()) == [False]
    assert "Convolutions of [2, 4, 9, 11] are not exact here; they run in float64, tap by tap." in caplog.text


def test_winograd_is_found_where_the_layer_itself_would_not_show_it():
    x, weight, bias = drawn(3)
    assert torch.equal(winograd(x, weight, bias, padding=(1, 1)), DIRECT(x, weight, bias, padding=(1, 1)))


def test_known_devices_are_not_asked():
    x, weight, bias = drawn(4)
    layer = Convolution(weight, bias)
    layer(x)
    assert not layer.direct
