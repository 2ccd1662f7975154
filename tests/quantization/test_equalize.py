"""Equalisation changes ranges and not the function; it leaves alone what it must not touch."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import LEVELS, ProofNetwork, images
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.nn import Add, DeQuantStub, QuantStub
from hatlite.quantization import FakeQuantGraph, QConfig, equalize, prepare
from hatlite.quantization.observer import observer

IMG = images(2, 36, 52)


class Uneven(nn.Module):
    """1×1, depthwise and 1×1 convolution whose channels differ by up to 2^`spread` in range; `twice` reads both."""

    def __init__(self, spread: float = 6.0, *, twice: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.quant, self.relu, self.add = QuantStub(1 / 128), nn.ReLU(), Add()
        self.expand, self.bn1 = nn.Conv2d(3, 16, 1, bias=False), nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.project = nn.Conv2d(16, 4, 1)
        self.other = nn.Conv2d(16, 4, 1) if twice else None
        self.dequant = DeQuantStub("int16")
        with torch.no_grad():
            self.bn1.weight.copy_(torch.exp2(torch.linspace(-spread / 2, spread / 2, 16)))
            self.depthwise.weight.mul_(
                torch.exp2(torch.linspace(-spread / 2, spread / 2, 16)).flip(0)[:, None, None, None]
            )
        self.eval()

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.relu(self.bn1(self.expand(self.quant(img))))
        x = self.relu(self.depthwise(x))
        y = self.project(x)
        return {"y": self.dequant(y if self.other is None else self.add(y, self.other(x)))}


def graph_of(network: nn.Module) -> FakeQuantGraph:
    return prepare(network, QConfig(), IMG[:1])


def noise(network: nn.Module, balance: float | None) -> float:
    """Return the squared error of the integers, relative to the float result."""
    graph = graph_of(copy.deepcopy(network))
    if balance is not None:
        equalize(graph, IMG, balance)
    with torch.no_grad():
        graph(IMG)
        graph.finish_calibration()
        return float((graph(IMG)["y"] - network(IMG)["y"]).square().mean() / network(IMG)["y"].square().mean())


@given(balance=st.floats(0.0, 1.0), seed=st.integers(0, 1000))
def test_the_network_computes_what_it_computed(balance: float, seed: int) -> None:
    torch.manual_seed(seed)
    network = ProofNetwork().eval()
    with torch.no_grad():
        expected = network(IMG)
        pairs = equalize(graph_of(network), IMG, balance)
        got = network(IMG)
    assert pairs
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-3, atol=1e-4 * float(value.abs().max()))


def test_uneven_channels_lose_most_of_their_noise() -> None:
    assert noise(Uneven(), 0.6) < 0.25 * noise(Uneven(), None)


def test_what_a_depthwise_convolution_reads_gets_one_range() -> None:
    network = Uneven()
    equalize(graph_of(network), IMG, 0.3)
    with torch.no_grad():
        ranges = network.relu(network.bn1(network.expand(IMG))).amax((0, 2, 3))
    torch.testing.assert_close(ranges, ranges[:1].expand(16), rtol=1e-4, atol=0.0)


def test_a_depthwise_convolution_with_one_scale_for_all_channels_is_balanced_like_any_other() -> None:
    spread = {}
    for sharing in ("tensor", "depthwise"):
        network = Uneven()
        graph = prepare(network, QConfig(march="tidl", weight_scales=sharing), IMG[:1])
        equalize(graph, IMG)
        weights = network.depthwise.weight.detach().abs().amax((1, 2, 3))
        spread[sharing] = float(weights.max() / weights.min())
    assert spread["tensor"] < spread["depthwise"] < 10, "77 before"


def test_a_tower_that_all_levels_share_takes_one_set_of_factors() -> None:
    network = ProofNetwork().eval()
    before = network.head.tower.weight.clone()
    pairs = equalize(graph_of(network), IMG, 0.6)
    assert all(len(pair.writers) == len(pair.readers) for pair in pairs)
    assert not any(pair.writers[0].path == "head.tower" for pair in pairs)  # three convolutions read it
    assert torch.equal(network.head.tower.weight, before)
    assert sum(len(pair.writers) for pair in pairs) == 2 * LEVELS


def test_a_result_with_two_readers_is_left_alone() -> None:
    network = Uneven(twice=True)
    (pair,) = equalize(graph_of(network), IMG, 0.6)
    assert pair.writers[0].path == "expand"


def test_dead_channels_keep_their_weights() -> None:
    network = Uneven()
    with torch.no_grad():
        network.bn1.weight[3], network.bn1.bias[3] = 0.0, -1.0
        network.depthwise.bias.fill_(-1e3)  # nothing of it is ever active, so that its own factors are 1
    before = network.depthwise.weight[3].clone()
    equalize(graph_of(network), IMG, 0.6)
    assert torch.equal(network.depthwise.weight[3], before)
    assert float(network.bn1.bias[3].detach()) == -1.0


def test_observers_see_nothing_of_it() -> None:
    graph = graph_of(Uneven())
    equalize(graph, IMG, 0.6)
    assert graph.batches_observed == 0
    assert all(site.observer.largest() == 0.0 for site in graph.sites.values() if site.observer is not None)


@pytest.mark.parametrize("balance", [-0.1, 1.5])
def test_an_impossible_balance_is_refused(balance: float) -> None:
    with pytest.raises(QuantizationError, match=rf"equalize: balance is {balance}; expected 0 ≤ balance ≤ 1\."):
        equalize(graph_of(Uneven()), IMG, balance)


def test_broken_weights_are_named_with_their_place() -> None:
    network = Uneven()
    graph = graph_of(network)
    with torch.no_grad():
        network.bn1.bias[0] = float("nan")
    with pytest.raises(QuantizationError, match=r"^expand \(.*\): equalisation met a value that is NaN or infinite"):
        equalize(graph, IMG, 0.6)


def test_ranges_are_those_of_the_changed_weights() -> None:
    network = Uneven()
    graph = graph_of(network)
    with torch.no_grad():
        graph(IMG)  # now every site remembers its folded weights
    equalize(graph, IMG)
    ranges = []
    for one in (graph, graph_of(network)):  # the second has nothing to remember
        watching = {name: observer("min_max") for name in one.sites}
        one.watch(IMG, watching)
        ranges.append({name: watched.largest() for name, watched in watching.items()})
    assert ranges[0] == ranges[1]
