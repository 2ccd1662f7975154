"""Ranges become part of the weights: in real numbers nothing changes, and integers need no scales."""

import copy

import pytest
import torch
from chain_networks import ChainNetwork, five_bit_images
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.nn import DeQuantStub, QuantStub
from hatlite.quantization import FakeQuantGraph, QConfig, edit_gains, prepare

OUTPUT = "cls_logits_s1"


def calibrated(network: nn.Module, **qconfig: object) -> FakeQuantGraph:
    graph = prepare(network, QConfig(march="gti5801", **qconfig), five_bit_images(1))
    graph.calibrate_mode()
    with torch.no_grad():
        graph(five_bit_images(4))
    graph.finish_calibration()
    return graph


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("gains", ["shared", "per_channel"])
def test_the_float_network_computes_what_it_computed(dtype: str, gains: str) -> None:
    network, img = ChainNetwork(dtype=dtype), five_bit_images(2, seed=3)
    real = network(img)[OUTPUT]
    graph = calibrated(network, output_gains=gains)
    edit_gains(graph)
    torch.testing.assert_close(network(img)[OUTPUT], real, rtol=1e-5, atol=1e-6)
    assert graph.mode == "integer" and graph.gain_edits == 1


def test_weights_and_gain_follow_the_formula() -> None:
    network = ChainNetwork()
    before = copy.deepcopy(network.state_dict())
    graph = calibrated(network)
    caps = list(graph.caps().values())
    edit_gains(graph)
    for index, (cap, cap_in) in enumerate(zip(caps, [31.0, *caps], strict=False)):
        weight, bias = before[f"conv{index}.weight"] * (cap_in / cap), before[f"conv{index}.bias"] * (31 / cap)
        torch.testing.assert_close(network.state_dict()[f"conv{index}.weight"], weight, rtol=1e-6, atol=0)
        torch.testing.assert_close(network.state_dict()[f"conv{index}.bias"], bias, rtol=1e-6, atol=0)
    torch.testing.assert_close(network.dequant.gain, torch.full((2,), caps[-1] / 31, dtype=torch.float64))
    assert list(graph.caps().values()) == caps
    assert [float(site.scale) for site in graph.sites.values()] == [1.0] * len(graph.sites)


def test_an_output_of_10_bits_has_steps_of_a_32nd() -> None:
    network = ChainNetwork(dtype="int16")
    graph = calibrated(network)
    cap = graph.caps()["conv2"]
    edit_gains(graph)
    assert float(graph.sites["conv2"].scale) == 1 / 32
    torch.testing.assert_close(network.dequant.gain, torch.full((2,), cap / 1023 * 32, dtype=torch.float64))


def test_nothing_moves_the_scales_afterwards() -> None:
    graph = calibrated(ChainNetwork(), activation={"learn": True})
    edit_gains(graph)
    graph.train()
    graph(five_bit_images(2))[OUTPUT].sum().backward()
    assert not any(site.log_scale.requires_grad for site in graph.sites.values() if site.log_scale is not None)
    graph.refresh()
    assert [float(site.scale) for site in graph.sites.values()] == [1.0] * len(graph.sites)


def test_a_state_dict_carries_that_it_was_edited() -> None:
    graph = calibrated(ChainNetwork())
    edit_gains(graph)
    other = prepare(ChainNetwork(), QConfig(march="gti5801"), five_bit_images(1))
    assert not other.gain_edits
    other.load_state_dict(graph.state_dict())
    other.quantized_mode()
    img = five_bit_images(2, seed=8)
    assert other.mode == "integer" and torch.equal(other(img)[OUTPUT], graph(img)[OUTPUT])
    with pytest.raises(QuantizationError, match=r"a second gain edit would find none; go on with --resume, or leave"):
        edit_gains(other)


class Loose(nn.Module):
    """A chain in which one thing is not as the gain edit needs it."""

    def __init__(self, *, again: bool = False, channels: int | None = 8, norm: bool = False) -> None:
        super().__init__()
        self.quant, self.again = QuantStub(1.0), again
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8) if norm else nn.Identity()
        self.second, self.relu = nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        self.dequant = DeQuantStub("int8", channels)

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.relu(self.second(self.relu(self.norm(self.first(self.quant(img))))))
        return {"out": self.dequant(self.relu(self.second(x)) if self.again else x)}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"again": True}, r"second .* is called a second time; the gain edit takes convolutions"),
        ({"channels": None}, r"second .* leaves as output 'out' .* write DeQuantStub\(dtype, channels\)"),
        ({"norm": True}, r"first .* lets no gain pass; .* without batch norm"),
    ],
)
def test_what_lets_no_gain_pass_is_told_before_anything_changes(given: dict, text: str) -> None:
    network = Loose(**given).eval()
    graph = calibrated(network)
    before = copy.deepcopy(graph.state_dict())
    with pytest.raises(QuantizationError, match=text):
        edit_gains(graph)
    for name, value in graph.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)
