"""Observers answer with the magnitude that hand calculation gives, whatever the order of batches."""

import numbers
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.errors import QuantizationError
from hatlite.quantization.clipping import error_of
from hatlite.quantization.observer import (
    MIN_ABSMAX,
    OBSERVERS,
    HistogramObserver,
    MSEObserver,
    Observer,
    PercentileObserver,
    observer,
)

NAMES = sorted(OBSERVERS)
VALUES = st.lists(st.lists(st.floats(-1000.0, 1000.0, width=32), min_size=1, max_size=20), min_size=1, max_size=6).map(
    lambda batches: [torch.tensor(batch)[None] for batch in batches]
)


def watched(name: str, batches: list[torch.Tensor]) -> Observer:
    watching = observer(name)
    for batch in batches:
        watching.observe(batch)
    return watching


def state(watching: Observer) -> dict[str, object]:
    return {key: value.tolist() if isinstance(value, torch.Tensor) else value for key, value in vars(watching).items()}


@pytest.mark.parametrize("name", NAMES)
def test_only_zeros_still_have_a_scale(name: str) -> None:
    watching = watched(name, [torch.zeros(2, 3, 4, 4)])
    assert watching.absmax(127) == MIN_ABSMAX
    assert watching.choice(127) == (name if name != "mix" else "mix: min_max")


def test_min_max_takes_the_larger_side() -> None:
    assert watched("min_max", [torch.tensor([0.5, -3.0]), torch.tensor([2.0])]).absmax(127) == 3.0


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(batches=VALUES, data=st.data())
def test_order_and_sharing_out_do_not_change_a_bit(name: str, batches: list[torch.Tensor], data: st.DataObject) -> None:
    whole = watched(name, batches)
    order = data.draw(st.permutations(range(len(batches))))
    assert state(watched(name, [batches[i] for i in order])) == state(whole)
    cut = data.draw(st.integers(0, len(batches)))
    first, second = watched(name, batches[:cut]), watched(name, batches[cut:])
    second.merge(first)
    assert state(second) == state(whole)
    assert second.absmax(127) == whole.absmax(127) and second.choice(255) == whole.choice(255)


@given(batches=VALUES)
def test_counts_are_those_of_the_final_range(batches: list[torch.Tensor]) -> None:
    watching = watched("mse", batches)
    assert isinstance(watching, HistogramObserver)
    values = torch.cat(batches, 1).abs().double()
    assert watching.seen == values.max() < watching.range
    assert watching.range in (MIN_ABSMAX, *(2.0**k for k in range(-16, 11)))
    bins = len(watching.counts)
    expected = torch.bincount((values[0] / watching.range * bins).floor().long(), minlength=bins)
    assert torch.equal(watching.counts, expected)


@pytest.mark.parametrize("name", NAMES)
def test_memory_does_not_grow_with_the_images(name: str) -> None:
    def held(watching: Observer) -> int:
        tensors = [value for value in vars(watching).values() if isinstance(value, torch.Tensor)]
        assert all(isinstance(value, (torch.Tensor, numbers.Number)) for value in vars(watching).values())
        return sum(tensor.untyped_storage().nbytes() for tensor in tensors)

    watching = observer(name)
    before = held(watching)
    for image in range(20):
        x = torch.randn(1, 8, 64, 64) * 2.0**image
        gone = weakref.ref(x.untyped_storage())
        watching.observe(x)
        del x
        assert gone() is None, "the image is still held"
        assert held(watching) == before
    assert before <= 4096 * 8


def test_percentile_leaves_the_outlier_outside() -> None:
    watching = PercentileObserver(percentile=99.0, bins=128)
    watching.observe(torch.cat([torch.full((999,), 1.0), torch.tensor([100.0])]))
    # The range is 128, the bins are 1 wide; 99 % of the values lie in bin [1, 2).
    assert watching.absmax(127) == 2.0
    assert OBSERVERS["percentile"]().percentile == 99.99


def test_the_mean_of_percentiles_counts_batches_and_not_values() -> None:
    small, large = torch.full((1, 1000), 1.0), torch.full((1, 10), 3.0)
    assert watched("mean_percentile", [small, small, large]).absmax(127) == pytest.approx(5 / 3, abs=1e-3)
    assert watched("percentile", [small, small, large]).absmax(127) == pytest.approx(3.0, abs=1e-3)
    mixed = torch.cat([torch.full((1, 9999), 1.0), torch.full((1, 1), 64.0)], dim=1)
    assert watched("mean_percentile", [mixed, small]).absmax(127) == pytest.approx(1.0, abs=0.02), "0.01 % lie outside"


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


@settings(max_examples=25)
@given(st.integers(0, 999), st.sampled_from([7, 127, 255]))
def test_mix_takes_what_loses_least(seed: int, quant_max: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    values = torch.randn(500, generator=draw) * torch.rand(500, generator=draw) ** (seed % 7)
    mix = watched("mix", [values])
    assert isinstance(mix, HistogramObserver)
    clips = {name: watched(name, [values]).absmax(quant_max) for name in ("min_max", "percentile", "mse", "kl")}
    errors = {name: error_of(mix.histogram(), clip, quant_max) for name, clip in clips.items()}
    least = min(errors, key=errors.__getitem__)
    assert mix.choice(quant_max) == f"mix: {least}"
    assert mix.absmax(quant_max) == clips[least]


def test_mix_has_more_than_one_winner() -> None:
    coarse = [torch.tensor([float(k) for k in range(8)])]  # seven steps are exactly these values
    tailed = [torch.cat([torch.randn(5000, generator=torch.Generator().manual_seed(0)), torch.tensor([60.0])])]
    # mse looks no lower than 20 % of the outlier, kl does.
    assert [watched("mix", batches).choice(7) for batches in (coarse, tailed)] == ["mix: min_max", "mix: kl"]


def test_a_parameter_comes_from_the_config() -> None:
    made = observer(dict(name="percentile", percentile=99, bins=64))
    assert isinstance(made, PercentileObserver)
    assert (made.percentile, len(made.counts)) == (99, 64)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf"), 2.0**127])
@pytest.mark.parametrize("name", NAMES)
def test_values_that_are_no_numbers_are_refused(name: str, wrong: float) -> None:
    x = torch.zeros(1, 4, 64, 64)
    x[:, 2] = wrong  # as a broken weight makes it: a whole channel, of which every sampled pixel has its part
    with pytest.raises(QuantizationError, match=r"a value that is NaN, infinite or beyond 2\^127; the float weights"):
        observer(name).observe(x)


@pytest.mark.parametrize(
    ("given_observer", "message"),
    [
        (
            "minmax",
            "no observer 'minmax'; known are kl, mean_percentile, min_max, mix, mse, percentile.\n  Did you mean 'min_",
        ),
        (dict(name="mes"), r"no observer 'mes'; known are kl, .*\n  Did you mean 'mse'\?"),
        (7, r"An observer is 7; expected a name, or a dict such as dict\(name='percentile', percentile=99.9\)"),
        (dict(percentile=9), r"An observer is {'percentile': 9}; expected a name, or a dict such as"),
        (dict(name="percentile", percentil=9), r"'percentile' has no parameter 'percentil'; it takes percentile, bins"),
        (dict(name="min_max", bins=9), r"Observer 'min_max' has no parameter 'bins'; it takes none"),
        (dict(name="percentile", percentile=0.0), r"percentile is 0.0; expected a number, 0 < percentile <= 100"),
        (dict(name="mix", percentile="99"), r"Observer 'mix': percentile is '99'; expected a number"),
        (dict(name="kl", bins=7), r"Observer 'kl': bins is 7; expected an even whole number from 2 up"),
    ],
)
def test_a_mistake_is_answered_with_what_there_is(given_observer: object, message: str) -> None:
    with pytest.raises(QuantizationError, match=message):
        observer(given_observer)  # type: ignore[arg-type]
