"""Observers answer with the magnitude that hand calculation gives, whatever the order of batches."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hatlite.errors import QuantizationError
from hatlite.quantization.observer import (
    MIN_ABSMAX,
    OBSERVERS,
    HistogramObserver,
    MSEObserver,
    PercentileObserver,
    observer,
)


@pytest.mark.parametrize("name", sorted(OBSERVERS))
def test_only_zeros_still_have_a_scale(name: str) -> None:
    watching = observer(name)
    watching.observe(torch.zeros(2, 3, 4, 4))
    assert watching.absmax(127) == MIN_ABSMAX


def test_min_max_takes_the_larger_side() -> None:
    watching = observer("min_max")
    watching.observe(torch.tensor([0.5, -3.0]))
    watching.observe(torch.tensor([2.0]))
    assert watching.absmax(127) == 3.0


def test_percentile_leaves_the_outlier_outside() -> None:
    watching = PercentileObserver(percentile=99.0, bins=100)
    watching.observe(torch.cat([torch.full((999,), 1.0), torch.tensor([100.0])]))
    # Bins are 1 wide; 99 % of the values lie in bin [1, 2).
    assert watching.absmax(127) == 2.0
    assert OBSERVERS["percentile"]().percentile == 99.99


def test_percentile_refuses_what_is_no_percentage() -> None:
    with pytest.raises(QuantizationError, match="percentile is 0.0; expected 0 < percentile <= 100"):
        PercentileObserver(percentile=0.0)


def test_mse_clips_one_outlier_but_not_a_uniform_range() -> None:
    values = torch.linspace(-1, 1, 4001)
    watching = MSEObserver()
    watching.observe(values)
    assert watching.absmax(127) > 0.98
    watching = MSEObserver()
    watching.observe(torch.cat([values, torch.tensor([4.0])]))
    assert watching.absmax(7) < 2.0  # at 4 bits the outlier is worth clipping


def test_mse_is_the_least_of_its_candidates() -> None:
    values = torch.randn(4096, generator=torch.Generator().manual_seed(0))
    watching = MSEObserver()
    watching.observe(values)
    chosen = watching.absmax(7)

    def error(clip: float) -> float:
        scale = clip / 7
        return float((((values / scale).round().clamp(-7, 7) * scale - values) ** 2).sum())

    top = float(values.abs().max())
    assert error(chosen) <= 1.1 * min(error(top * c) for c in torch.linspace(0.2, 1, 100).tolist())


@given(st.lists(st.floats(2.0**-6, 1000.0, width=32), min_size=1, max_size=6))
def test_growing_the_range_keeps_every_count(tops: list[float]) -> None:
    watching = HistogramObserver(bins=16)
    for top in tops:
        watching.observe(torch.tensor([top, top / 2, 0.0]))
    assert watching.counts.sum() == 3 * len(tops)
    assert watching.range >= max(tops)


def test_an_unknown_observer_is_answered_with_names() -> None:
    with pytest.raises(QuantizationError, match=r"no observer 'minmax'; known are min_max, mse, percentile") as caught:
        observer("minmax")
    assert "Did you mean 'min_max'?" in str(caught.value)
