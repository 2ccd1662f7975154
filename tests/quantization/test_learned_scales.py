"""Learned scales: LSQ's gradient, exactness while they move, and that learning them is of use."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import images
from operator_networks import SIZE, assert_exact, calibrated, conv, differing
from scaled_networks import Everything, Tied, real_before_rounding
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.quantization import FakeQuantGraph, QConfig
from hatlite.quantization.sites import AddSite
from hatlite.quantization.straight_through import learn_scale

LEARN = QConfig(activation=dict(learn=True))


def lsq_by_hand(
    v: np.ndarray, scale: float, low: int, high: int, upstream: np.ndarray, held: type = np.float64
) -> float:
    """Equation 3 of arXiv:1902.08153 for the real values v and the gradient at v̂, times S for the logarithm.

    What calibration has put onto the clamp saturates or does not by the last bit of v / S, so `held` is its type.
    """
    u = (v / scale).astype(held)
    slope = np.where(u <= low, low, np.where(u >= high, high, np.floor(v / scale + 0.5) - u))
    return float((upstream * slope).sum()) * scale / math.sqrt(v[0].size * high)


@given(
    st.integers(0, 10**6),
    st.sampled_from([(-128, 127), (0, 255), (0, 127), (-32768, 32767)]),
    st.floats(0.01, 10.0),
    st.floats(0.2, 3.0),
)
def test_the_gradient_is_that_of_lsq(seed: int, clamp: tuple[int, int], scale: float, spread: float) -> None:
    rng = np.random.default_rng(seed)
    v = rng.normal(size=(2, 3, 4, 5)) * spread * scale * clamp[1]
    upstream = rng.normal(size=v.shape)
    u = torch.from_numpy(v / scale)
    log_scale = nn.Parameter(torch.zeros((), dtype=torch.float64))
    y = torch.floor(u + 0.5).clamp(*clamp).requires_grad_()
    # the gradient at the integers is S times that at v̂ = S · y
    learn_scale(*clamp, log_scale, y, u).mul(scale).backward(torch.from_numpy(upstream))
    np.testing.assert_allclose(float(log_scale.grad), lsq_by_hand(v, scale, *clamp, upstream), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(y.grad.numpy(), upstream * scale)


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_every_site_learns_by_that_gradient(dtype: str) -> None:
    rules = {"inner.first.*": dict(dtype=dtype), "inner.add": dict(dtype=dtype), "inner.last.*": dict(dtype=dtype)}
    graph = calibrated(Everything, 3, QConfig(activation=dict(learn=True, observer="percentile"), rules=rules), None)
    img = images(2, *SIZE, seed=4) * 1.3
    values = {name: q.detach() for name, q in graph.train().integers(img).items()}
    checked = set()
    for name, site in graph.sites.items():
        if site.learned is None or (site.source is not site and not hasattr(site, "WEIGHT_SUM")):
            continue
        inputs = tuple(values[part.name] for part in site.inputs) or (img,)
        y = site.forward_integer(*inputs)
        upstream = torch.randn_like(y)
        (got,) = torch.autograd.grad(y, site.learned, upstream)
        at_real = upstream.double().numpy() / float(site.scale)
        rounded = real_before_rounding(site, inputs), float(site.scale), site.quant_min, site.quant_max
        expected = lsq_by_hand(*rounded, at_real, np.float32)
        assert torch.equal(y, values[name])
        np.testing.assert_allclose(float(got), expected, rtol=2e-3, atol=2e-4, err_msg=name)
        checked.add(type(site).__name__)
    names = "AddSite AvgPoolSite BilinearSite ConvSite InputSite LutSite MulSite RescaleSite SubSite"
    assert checked == set(names.split())


def train(graph: FakeQuantGraph, img: torch.Tensor, target: torch.Tensor, steps: int, refresh_steps: int) -> float:
    """Return the loss of the refreshed graph after Adam has taken `steps`."""
    optimizer = torch.optim.Adam(graph.parameters(), lr=0.02)
    loss = lambda: (graph(img)["y"] - target).square().mean()  # noqa: E731
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        if step % refresh_steps == 0:
            graph.refresh()
    with torch.no_grad():
        return float(loss())


def regression(learn: bool) -> tuple[FakeQuantGraph, torch.Tensor, torch.Tensor]:
    """Calibration saw an outlier, so that its scales are thirty times too coarse."""
    torch.manual_seed(0)
    inner = nn.Sequential(conv(3, 8, nn.ReLU()), conv(8, 2))
    graph = calibrated(lambda: copy.deepcopy(inner), qconfig=QConfig(activation=dict(observer="min_max", learn=learn)))
    with torch.no_grad():
        target = inner.eval()(images(4, *SIZE, seed=1))
    graph.calibrate_mode()
    with torch.no_grad():
        graph(images(1, *SIZE) * 30)
    graph.finish_calibration()
    return graph, images(4, *SIZE, seed=1), target


def test_learned_scales_end_with_less_loss_than_frozen_ones() -> None:
    frozen, learned = (regression(learn) for learn in (False, True))
    start = {name: float(site.scale) for name, site in learned[0].sites.items()}
    with torch.no_grad():
        assert torch.equal(frozen[0](frozen[1])["y"], learned[0](learned[1])["y"]), "both start as calibration ends"
    losses = [train(*parts, steps=150, refresh_steps=10) for parts in (frozen, learned)]
    assert losses[1] < 0.5 * losses[0]
    ends = {name: float(site.scale) for name, site in learned[0].sites.items()}
    assert ends["quant"] == start["quant"] and ends["inner_1_0"] < 0.7 * start["inner_1_0"]
    assert differing(learned[0], learned[1]) == 0


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([Everything, Tied]), st.sampled_from(["float32", "pow2"]))
def test_every_value_is_equal_wherever_the_scales_go(seed: int, make: type[nn.Module], grid: str) -> None:
    graph = calibrated(make, seed, QConfig(activation=dict(learn=True), scale_grid=grid), scale=None)
    assert_exact(graph)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for site in graph.sites.values():
            if site.log_scale is not None:
                site.log_scale.fill_(float(rng.uniform(-2, 2)))
    before = {name: float(site.scale) for name, site in graph.sites.items()}
    assert differing(graph, images(1, *SIZE, seed=seed)) == 0
    assert {name: float(site.scale) for name, site in graph.sites.items()} == before
    graph.refresh()
    assert {name: float(site.scale) for name, site in graph.sites.items()} != before
    assert differing(graph, images(2, *SIZE, seed=seed, full_scale=seed % 2 == 0)) == 0


def test_a_refresh_takes_over_what_was_learned_and_keeps_the_proofs() -> None:
    graph = calibrated(Tied, qconfig=LEARN)
    before = {name: float(site.scale) for name, site in graph.sites.items()}
    graph.refresh()
    assert {name: float(site.scale) for name, site in graph.sites.items()} == before, "nothing was learned yet"
    with torch.no_grad():
        for site in graph.sites.values():
            if site.log_scale is not None:
                site.log_scale.fill_(math.log(0.8))
    graph.refresh()
    for name, site in graph.sites.items():
        if site.has_scale and name != "quant":
            assert float(site.scale) == np.float32(site.scale)
            assert float(site.scale) == pytest.approx(0.8 * before[name], rel=0.01)
        if isinstance(site, AddSite):
            assert int(site.proven) >= AddSite.NEEDED


def test_a_group_learns_one_scale() -> None:
    graph = calibrated(Tied, qconfig=QConfig(rules={"inner.b.0": dict(learn=True)}))
    group = [site for site in graph.sites.values() if site.tied]
    assert len(group) == 2 and [site.log_scale is None for site in group] == [False, True]
    assert [name for name, _ in graph.named_parameters() if "log_scale" in name] == [f"sites.{group[0].name}.log_scale"]
    graph(images(1, *SIZE))["y"].square().sum().backward()
    assert float(group[0].log_scale.grad) != 0
    with torch.no_grad():
        group[0].log_scale.fill_(0.5)
    graph.refresh()
    assert len({float(site.scale) for site in group}) == 1
    outside = graph.sites["inner_add_1"]
    assert outside.log_scale is None and int(outside.proven) >= AddSite.NEEDED, "it looked for its scale again"


def test_state_travels_and_calibrating_again_forgets_it() -> None:
    graph = calibrated(Tied, qconfig=LEARN)
    before = {name: float(site.scale) for name, site in graph.sites.items()}
    with torch.no_grad():
        graph.sites["inner_last_0"].log_scale.fill_(-0.3)
    fresh = copy.deepcopy(calibrated(Tied, 1, qconfig=LEARN))
    fresh.load_state_dict(graph.state_dict())
    for one in (graph, fresh):
        one.refresh()
    assert all(torch.equal(a, b) for a, b in zip(graph.state_dict().values(), fresh.state_dict().values(), strict=True))
    graph.finish_calibration()
    assert {name: float(site.scale) for name, site in graph.sites.items()} == before


def test_without_learning_nothing_is_added() -> None:
    names = calibrated(Tied).state_dict()
    assert not any("log_scale" in name or "asked_scale" in name for name in names)


@pytest.mark.parametrize("value", [float("nan"), 40.0, -math.inf])
def test_a_scale_that_diverged_is_named(value: float) -> None:
    graph = calibrated(Tied, qconfig=LEARN)
    with torch.no_grad():
        graph.sites["inner_last_0"].log_scale.fill_(value)
    with pytest.raises(
        QuantizationError, match=r"inner.last.0 \(.*:\d+\): the logarithm of the learned scale has moved"
    ):
        graph.refresh()
