"""Clips against the textbook: loops over bins and levels, in plain Python."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.quantization.clipping import (
    EMPTY_LEVEL,
    Histogram,
    divergences,
    error_of,
    kl_clip,
    mse_clip,
    percentile_clip,
)

COUNTS = st.lists(st.integers(0, 1000), min_size=8, max_size=40).filter(any)


def histogram(values: torch.Tensor, bins: int = 4096, top: float = 8.0) -> Histogram:
    counts = torch.histc(values.abs(), bins, 0.0, top).double()
    return Histogram(counts, top / bins, float(values.abs().max()))


def textbook_divergence(counts: list[float], length: int, levels: int) -> float:
    p = [float(count) for count in counts[:length]]
    p[-1] += sum(counts[length:])
    q = [0.0] * length
    for level in range(levels):
        members = [i for i in range(length) if i * levels // length == level]
        filled = [i for i in members if p[i] > 0]
        for i in filled:
            q[i] = max(sum(counts[j] for j in members), EMPTY_LEVEL) / len(filled)
    return sum(a / sum(p) * math.log((a / sum(p)) / (b / sum(q))) for a, b in zip(p, q, strict=True) if a)


@given(COUNTS, st.integers(2, 8))
def test_divergences_are_those_of_the_textbook(counts: list[int], levels: int) -> None:
    lengths = list(range(levels, len(counts) + 1))
    found = divergences(torch.tensor(counts, dtype=torch.float64), torch.tensor(lengths), levels)
    for length, divergence in zip(lengths, found.tolist(), strict=True):
        assert divergence == pytest.approx(textbook_divergence(counts, length, levels), abs=1e-9)
        assert divergence >= -1e-12


def test_kl_by_hand() -> None:
    # Two levels, four bins: keeping all merges 8 with 0 and 0 with 8, where each level has one filled bin: no loss.
    counts = torch.tensor([8.0, 0.0, 0.0, 8.0], dtype=torch.float64)
    assert divergences(counts, torch.tensor([4]), 2).tolist() == [0.0]
    # Keeping two: P = (8, 8), Q = (8, nothing).
    expected = 0.5 * math.log(0.5 / (8 / (8 + EMPTY_LEVEL))) + 0.5 * math.log(0.5 / (EMPTY_LEVEL / (8 + EMPTY_LEVEL)))
    assert divergences(counts, torch.tensor([2]), 2).item() == pytest.approx(expected)


def test_kl_clips_a_long_tail_and_keeps_a_uniform_range() -> None:
    draw = torch.Generator().manual_seed(0)
    uniform = torch.rand(50_000, generator=draw)
    assert kl_clip(histogram(uniform), 127) > 0.9
    tailed = torch.cat([torch.randn(50_000, generator=draw) * 0.3, torch.tensor([7.9])])
    assert 0.5 < kl_clip(histogram(tailed), 127) < 3.0


def test_zeros_do_not_move_the_clip_of_kl() -> None:
    values = torch.randn(20_000, generator=torch.Generator().manual_seed(1)).abs()
    relu = torch.cat([values, torch.zeros(80_000)])
    assert kl_clip(histogram(relu), 255) == kl_clip(histogram(values), 255)


def test_kl_has_nothing_to_merge_where_levels_outnumber_bins() -> None:
    few = histogram(torch.linspace(0, 5, 1000), bins=128)
    assert kl_clip(few, 127) == few.top == 5.0
    assert kl_clip(histogram(torch.linspace(0, 5, 1000)), 32767) == 5.0


def test_percentile_by_hand() -> None:
    counts = torch.zeros(128, dtype=torch.float64)
    counts[1], counts[100] = 999, 1
    given_counts = Histogram(counts, 1.0, 100.5)
    assert percentile_clip(given_counts, 99.0) == 2.0
    assert percentile_clip(given_counts, 100.0) == 100.5


@settings(max_examples=25)
@given(st.integers(0, 99), st.sampled_from([7, 127, 255]))
def test_the_error_of_a_clip_is_that_of_quantising(seed: int, quant_max: int) -> None:
    values = torch.randn(2000, generator=torch.Generator().manual_seed(seed)).abs().double()
    drawn = histogram(values.float(), bins=8192)
    for clip in (drawn.top, mse_clip(drawn, quant_max), 0.3 * drawn.top):
        scale = clip / quant_max
        back = (values / scale + 0.5).floor().clamp_max(quant_max) * scale
        assert error_of(drawn, clip, quant_max) == pytest.approx(float(((back - values) ** 2).mean()), rel=0.05)
