"""Powers of two: the grid itself, every scale of a network on it, and what the certificates make of it."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import ProofNetwork, images
from operator_networks import SIZE, assert_exact, calibrated, conv, differing
from torch import nn

from hatlite.lowering import lower
from hatlite.march import get_march
from hatlite.nn import Add, Concat, Mul
from hatlite.ops.integer.engine_rules import CONV_RULES
from hatlite.quantization import FakeQuantGraph, QConfig, prepare
from hatlite.quantization.observer import observer
from hatlite.quantization.scale_grid import on_grid
from hatlite.quantization.sites import AddSite, ConvSite, MulSite

POW2 = QConfig(scale_grid="pow2")


def is_power_of_two(values: torch.Tensor) -> bool:
    return bool((torch.frexp(values)[0] == 0.5).all())


@given(st.floats(2.0**-60, 2.0**60))
def test_pow2_is_the_next_power_upwards(value: float) -> None:
    (got,) = on_grid(torch.tensor([value], dtype=torch.float64), "pow2").tolist()
    assert got / 2 < value <= got == 2.0 ** round(math.log2(got))


@given(st.integers(-60, 60))
def test_a_power_of_two_stays(exponent: int) -> None:
    assert float(on_grid(torch.tensor(2.0**exponent, dtype=torch.float64), "pow2")) == 2.0**exponent


@given(st.floats(2.0**-60, 2.0**60))
def test_float32_is_the_nearest(value: float) -> None:
    assert float(on_grid(torch.tensor(value, dtype=torch.float64), "float32")) == np.float32(value)


@pytest.mark.parametrize("name", ["mse", "percentile", "kl", "mix"])
def test_upwards_loses_less_than_the_nearest_power(name: str) -> None:
    """The reason for the direction: squared errors over those of the scale asked for, over an octave of magnitudes."""
    worst = {"up": 0.0, "nearest": 0.0}
    for kind, relu in itertools.product((torch.distributions.Normal, torch.distributions.Laplace), (False, True)):
        torch.manual_seed(0)
        low, high = (0, 255) if relu else (-128, 127)
        errors = {"asked": 0.0, "up": 0.0, "nearest": 0.0}
        for step in range(16):
            x = kind(0.0, 2.0 ** (step / 16)).sample((20000,)).clamp_min(0.0 if relu else -math.inf)
            watcher = observer(name)
            watcher.observe(x)
            asked = watcher.absmax(high) / high
            up = float(on_grid(torch.tensor(asked, dtype=torch.float64), "pow2"))
            for way, scale in (("asked", asked), ("up", up), ("nearest", 2.0 ** round(math.log2(asked)))):
                error = (x / scale + 0.5).floor().clamp(low, high) * scale - x
                errors[way] += float(error.square().mean()) / 4.0 ** (step / 16)
        worst = {way: max(so_far, errors[way] / errors["asked"]) for way, so_far in worst.items()}
    assert worst["up"] < 2.5 < worst["nearest"]


class Mixed(nn.Module):
    """What moves its own scale elsewhere: sums, products, groups."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = conv(3, 4, nn.ReLU()), conv(4, 4), conv(8, 4)
        self.mul, self.add, self.concat, self.pool = Mul(), Add(), Concat(), nn.AvgPool2d(3, 1, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        a = self.first(x)
        b = self.second(a)
        c = self.concat(self.add(a, b), b)
        return {"y": self.last(c), "z": self.pool(self.mul(a, b)), "sum": self.add(b, a)}


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["min_max", "mse"]), st.booleans())
def test_every_scale_is_a_power_of_two_and_every_value_equal(seed: int, observer: str, learn: bool) -> None:
    qconfig = QConfig(activation=dict(observer=observer, learn=learn), scale_grid="pow2")
    graph = calibrated(Mixed, seed, qconfig, scale=None)
    on_two_powers(graph)
    assert differing(graph, images(2, *SIZE, seed=seed, full_scale=seed % 2 == 0)) == 0
    assert_exact(graph)
    on_two_powers(graph)


def on_two_powers(graph: FakeQuantGraph) -> None:
    for site in graph.sites.values():
        assert not site.has_scale or is_power_of_two(site.scale), site.path
        if isinstance(site, MulSite):
            assert int(site.proven) == -1, "no weight scale makes up for its odd M"
        if isinstance(site, ConvSite):
            assert is_power_of_two(site.ideal_weight_scale), site.path
            # M is odd, so that no M · 2^−s is a power of two: the share that is left is that of 15 bits
            off = site.weight_scale / site.ideal_weight_scale - 1
            assert is_power_of_two(site.weight_scale) if site.raw else float(off.abs().max()) < 2.0**-5


def proof_graph(qconfig: QConfig) -> FakeQuantGraph:
    graph = prepare(ProofNetwork(), qconfig, images(1, 36, 52))
    with torch.no_grad():
        graph(images(2, 36, 52))
    graph.finish_calibration()
    return graph


def test_what_it_does_to_certificates() -> None:
    """Convolutions keep theirs, the weight scale makes up for the odd M; sums that round have ties and lose it."""
    graph = proof_graph(POW2)
    on_two_powers(graph)
    convs = [site for site in graph.sites.values() if isinstance(site, ConvSite) and site.rules()]
    assert len(convs) > 20
    assert all(int(site.proven.min()) == len(CONV_RULES) for site in convs)
    assert sum(len(site.proven) for site in convs) == 333
    assert {int(m) for site in convs for m in site.multiplier} <= {16385, 32767}
    adds = [site for site in graph.sites.values() if isinstance(site, AddSite)]
    for site in adds:
        finest = min(float(part.scale) for part in site.inputs)
        assert (int(site.proven) >= AddSite.NEEDED) == (float(site.scale) <= finest), site.path
    assert (len(adds), sum(int(site.proven) < AddSite.NEEDED for site in adds)) == (6, 4)
    assert len(lower(graph, get_march("bayes-sim")).ops) > 40
