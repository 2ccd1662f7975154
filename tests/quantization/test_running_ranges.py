"""Ranges that follow their batches in qat: the promised running mean, and integers that are constant meanwhile."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import images
from operator_networks import SIZE, calibrated, conv, differing, train_a_little
from scaled_networks import Everything, Tied, real_before_rounding
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.quantization import FakeQuantGraph, QConfig
from hatlite.quantization.graph import FreezeEpochs
from hatlite.quantization.observer import MIN_ABSMAX, OBSERVERS, observer
from hatlite.quantization.sites import RunningRange

TI = QConfig(march="tidl", activation=dict(observer="mean_percentile"), bn="train", ranges="train")


def graph_of(qconfig: QConfig = TI) -> FakeQuantGraph:
    return calibrated(lambda: nn.Sequential(conv(3, 4, nn.ReLU()), conv(4, 4)), qconfig=qconfig)


def ranges(graph: FakeQuantGraph) -> dict[str, float]:
    return {name: float(s.running_range.absmax) for name, s in graph.sites.items() if s.running_range is not None}


def scales(graph: FakeQuantGraph) -> dict[str, float]:
    return {name: float(site.scale) for name, site in graph.sites.items()}


def trained_on(graph: FakeQuantGraph, *batches: torch.Tensor) -> FakeQuantGraph:
    """One step on each of `batches`, without an update of weights."""
    for img in batches:
        graph.train().integers(img)
        graph.end_step()
    return graph


def test_the_mean_counts_every_step_alike_and_never_less_than_a_thousandth() -> None:
    running = RunningRange()
    running.restart(5.0, 1)
    for value in (1.0, 3.0, 7.0):
        running.follow(value)
    assert float(running.absmax) == pytest.approx(4.0) and int(running.steps) == 4
    running.restart(1.0, 5000)
    running.follow(2.0)
    assert float(running.absmax) == pytest.approx(1.001)
    running.restart(1.0, 0)
    running.follow(0.0)
    assert float(running.absmax) == MIN_ABSMAX


@pytest.mark.parametrize("name", sorted(OBSERVERS))
def test_the_observer_of_a_step_is_alike_and_pools_the_batches_of_the_step(name: str) -> None:
    given = {"name": name, **({"bins": 128} if name != "min_max" else {})}
    first, second = observer(given), observer(given)
    first.observe(torch.full((1, 50), 2.0))
    step = first.of_step()
    assert step.largest() == 0.0 and type(step) is type(second.of_step())
    assert vars(step).get("percentile", 99.99) == 99.99 and len(getattr(step, "counts", range(128))) == 128
    batches = [torch.linspace(-3.0, 1.0, 64)[None], torch.linspace(-9.0, 4.0, 64)[None]]
    for batch in batches:
        step.observe(batch)
    joined = second.of_step()
    joined.observe(torch.cat(batches, 1))
    assert step.absmax(127) == joined.absmax(127)
    positive = second.of_step()
    positive.observe(torch.cat(batches, 1), relu=True)
    assert positive.largest() == 4.0, "behind a ReLU negative values are 0"


@pytest.mark.parametrize("march", ["bayes-sim", "tidl"])
def test_every_site_shows_what_it_is_about_to_round(march: str) -> None:
    rules = {"inner.add": dict(scale=1.0)}
    qconfig = QConfig(march=march, activation=dict(observer="min_max"), ranges="train", rules=rules)
    graph = calibrated(Everything, 3, qconfig, None)
    img = images(2, *SIZE, seed=4) * 1.3
    start, values = ranges(graph), {name: q.detach() for name, q in graph.eval().integers(img).items()}
    assert set(start) == {name for name, site in graph.sites.items() if site.source is site and name != "inner_add"}
    trained_on(graph, img)
    for name, before in start.items():
        site = graph.sites[name]
        real = real_before_rounding(site, tuple(values[part.name] for part in site.inputs) or (img,))
        seen = np.maximum(real, 0.0).max() if site.relu else np.abs(real).max()
        assert ranges(graph)[name] == pytest.approx((before + seen) / 2, rel=1e-6), name


def test_integers_are_exact_and_constant_until_the_refresh() -> None:
    graph = graph_of()
    img = images(2, *SIZE, seed=6) * 3
    before, start = graph.eval().integers(img), scales(graph)
    trained_on(graph, img, img, img)
    for name, value in graph.train().integers(img).items():
        assert torch.equal(value, before[name]), name
    assert scales(graph) == start
    train_a_little(graph, img)
    assert differing(graph, img) == 0
    graph.refresh()
    assert scales(graph) != start and scales(graph)["quant"] == start["quant"]
    assert differing(graph, img) == 0


@settings(max_examples=5, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([Everything, Tied]),
    st.sampled_from(["bayes-sim", "tidl"]),
    st.sampled_from(["min_max", "mean_percentile", "mse"]),
)
def test_every_value_is_equal_wherever_the_ranges_go(seed: int, make: type[nn.Module], march: str, name: str) -> None:
    graph = calibrated(make, seed, QConfig(march=march, activation=dict(observer=name), ranges="train"), scale=None)
    rng = np.random.default_rng(seed)
    trained_on(graph, *(images(1, *SIZE, seed=seed + i) * float(rng.uniform(0.1, 4)) for i in range(3)))
    start = scales(graph)
    graph.refresh()
    assert scales(graph) != start
    assert differing(graph, images(2, *SIZE, seed=seed, full_scale=seed % 2 == 0)) == 0


def test_a_refresh_makes_scales_of_the_ranges_and_moves_nothing_by_itself() -> None:
    graph = graph_of()
    start = scales(graph)
    graph.refresh()
    assert scales(graph) == start
    trained_on(graph, *(images(2, *SIZE, seed=seed) / 64 for seed in range(20))).refresh()
    narrow = scales(graph)
    for name, absmax in ranges(graph).items():
        steps = 256 if graph.sites[name].relu else 128
        assert narrow[name] == 2.0 ** math.ceil(math.log2(absmax)) / steps < start[name], "the power of two upwards"
    trained_on(graph, *(images(2, *SIZE, seed=seed) for seed in range(50))).refresh()
    assert scales(graph)["inner_0_0"] > narrow["inner_0_0"], "what saturates is seen beyond the clamp"


@pytest.mark.parametrize(
    ("given", "num_epochs", "expected"),
    [
        (("half", "half"), 12, (5, 7)),
        (("half", "half"), 25, (11, 13)),
        (("half", "half"), 2, (1, 2)),
        (("half", "half"), 1, (1, 1)),
        ((None, 3), 12, (None, 3)),
    ],
)
def test_half_way_is_where_tis_toolkit_freezes(given: tuple, num_epochs: int, expected: tuple) -> None:
    assert FreezeEpochs(*given).of(num_epochs) == expected


def test_they_freeze_after_their_epochs_and_in_eval(caplog: pytest.LogCaptureFixture) -> None:
    graph = graph_of(QConfig(bn="train", bn_freeze_epoch=3, ranges="train", range_freeze_epoch="half"))
    moved = []
    with caplog.at_level("INFO", logger="hatlite"):
        for epoch in range(5):
            graph.begin_epoch(epoch, 4)
            start = ranges(graph)
            graph.eval().integers(images(2, *SIZE) * 2)
            graph.end_step()
            assert ranges(graph) == start, "eval leaves no trace"
            moved.append(ranges(trained_on(graph, images(2, *SIZE, seed=epoch))) != start)
    assert moved == [True, True, True, False, False]
    assert caplog.messages == [
        "After 3 epochs the statistics of batch norms are frozen.",
        "After 3 epochs the ranges of activations are frozen.",
    ]
    graph.begin_epoch(0, 100)
    assert ranges(trained_on(graph, images(2, *SIZE))) != start, "in a longer training half-way is later"


def test_shares_of_a_step_move_them_as_the_whole_step_does() -> None:
    img = images(4, *SIZE, seed=7) * 2
    whole = graph_of()
    halves = [copy.deepcopy(whole) for _ in range(2)]
    trained_on(whole, img)
    shown: list[dict] = []
    for graph, half in zip(halves, img.split(2), strict=True):
        graph.train().integers(half)
        graph.end_step(lambda seen: shown.append(seen) or {})
    for name, theirs in shown[1].items():
        shown[0][name].merge(theirs)
        halves[0].sites[name].follow_step(shown[0][name])
    assert ranges(halves[0]) == ranges(whole) != ranges(halves[1])
    accumulated = copy.deepcopy(halves[1])
    for half in img.split(2):
        accumulated.train().integers(half)
    accumulated.end_step()
    assert ranges(accumulated) == ranges(whole), "batches that accumulate gradients are one step"


def test_state_travels_and_calibrating_again_forgets_it() -> None:
    graph = graph_of()
    start = ranges(graph)
    trained_on(graph, images(2, *SIZE, seed=3) * 5)
    fresh = copy.deepcopy(graph_of())
    fresh.load_state_dict(graph.state_dict())
    for one in (graph, fresh):
        trained_on(one, images(2, *SIZE, seed=4)).refresh()
    assert all(torch.equal(a, b) for a, b in zip(graph.state_dict().values(), fresh.state_dict().values(), strict=True))
    graph.finish_calibration()
    assert ranges(graph) == start
    assert {int(site.running_range.steps) for site in graph.sites.values() if site.running_range is not None} == {1}


def test_without_them_nothing_is_added() -> None:
    names = graph_of(QConfig()).state_dict()
    assert not any("range" in name or "asked_scale" in name for name in names)


def test_weights_that_diverged_are_named() -> None:
    graph = graph_of().train()
    with torch.no_grad():
        graph.inner[0][0].weight.fill_(float("nan"))
    with pytest.raises(QuantizationError, match=r"inner.0.0 \(.*:\d+\): qat met a value that is NaN.*lower the lear"):
        graph(images(1, *SIZE))
