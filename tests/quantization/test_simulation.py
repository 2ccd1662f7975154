"""Rounding on real values: what the integers stand for, with the gradients of the straight-through rules."""

import copy

import pytest
import torch
from chain_networks import ChainNetwork, five_bit_images

from hatlite.errors import QuantizationError
from hatlite.quantization import FakeQuantGraph, QConfig, prepare

OUTPUT = "cls_logits_s1"


def chain_graph(network: ChainNetwork | None = None, **qconfig: object) -> FakeQuantGraph:
    rules = {"conv2": {"weight_dtype": "int8"}}
    return prepare(network or ChainNetwork(), QConfig(march="gti5801", rules=rules, **qconfig), five_bit_images(1))


def calibrated(graph: FakeQuantGraph, count: int = 4) -> FakeQuantGraph:
    graph.calibrate_mode()
    with torch.no_grad():
        graph(five_bit_images(count))
    graph.finish_calibration()
    return graph


def test_rounded_weights_are_multiples_of_the_step_of_their_layer() -> None:
    graph = chain_graph()
    graph.simulate(weights=True)
    for name in ("conv0", "conv1", "conv2"):
        site = graph.sites[name]
        weight, bias = site.rounded()
        step = float(site.weight_scale[0])
        assert step in [2.0**-s for s in range(13)] and bool((site.weight_scale == step).all())
        for part in (weight.double() / step, bias.double() / step):
            assert torch.equal(part, part.round())
        if name != "conv2":
            levels = weight.abs().flatten(2).double()
            unit = torch.where(levels > 0, levels, torch.inf).amin(2, keepdim=True)  # least level there is in a kernel
            assert set((levels / unit).unique().tolist()) <= {0.0, 1.0, 2.0, 4.0}


def test_rounding_passes_the_whole_gradient() -> None:
    graph = chain_graph()
    graph.simulate(weights=True)
    site = graph.sites["conv1"]
    weight, bias = site.rounded()
    upstream = torch.randn_like(weight)
    (weight * upstream).sum().backward()
    assert torch.equal(site.layer.weight.grad, upstream)
    assert not bias.requires_grad or site.layer.bias.grad is None


def test_the_forward_is_that_of_a_float_network_with_rounded_weights() -> None:
    graph = chain_graph()
    graph.simulate(weights=True)
    img = five_bit_images(2)
    network = copy.deepcopy(ChainNetwork())
    with torch.no_grad():
        for name in ("conv0", "conv1", "conv2"):
            weight, bias = graph.sites[name].rounded()
            network.get_submodule(name).weight.copy_(weight)
            network.get_submodule(name).bias.copy_(bias)
    torch.testing.assert_close(graph(img)[OUTPUT], network(img)[OUTPUT], rtol=1e-6, atol=1e-7)
    assert not torch.allclose(graph(img)[OUTPUT], ChainNetwork()(img)[OUTPUT], rtol=1e-2)


def test_activations_are_clipped_and_rounded_to_31_levels() -> None:
    graph = calibrated(chain_graph(activation={"observer": {"name": "percentile", "percentile": 90.0}}))
    assert graph.mode == "simulate"
    seen = graph._run(five_bit_images(2, seed=5), keep=set(graph.sites))
    for name in ("conv0", "conv1", "conv2"):
        steps = (seen[name] / graph.sites[name].scale.float()).detach()
        torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-5)
        assert (int(steps.min()), int(steps.max().round())) == (0, 31) or name == "conv2"
    assert graph.caps() == {name: 31 * float(graph.sites[name].scale) for name in ("conv0", "conv1", "conv2")}


def test_the_gradient_of_the_clip_is_1_inside_and_0_outside() -> None:
    graph = calibrated(chain_graph())
    site = graph.sites["conv0"]
    cap = site.largest_value()
    y = torch.tensor([-0.5, 0.25, 0.5, 0.75, 1.5]).mul(cap).reshape(1, 1, 1, -1).requires_grad_()
    site.observe(y).sum().backward()
    torch.testing.assert_close(y.grad.flatten(), torch.tensor([0.0, 1, 1, 1, 0]))


def test_observers_see_nothing_while_it_trains() -> None:
    graph = calibrated(chain_graph())
    before = {name: site.observer.largest() for name, site in graph.sites.items() if site.observer is not None}
    graph(5 * five_bit_images(2, seed=9))
    assert before == {name: site.observer.largest() for name, site in graph.sites.items() if site.observer is not None}


def test_caps_learn_on_real_values() -> None:
    graph = calibrated(chain_graph(activation={"learn": True, "observer": {"name": "percentile", "percentile": 80.0}}))
    caps = graph.caps()
    graph.train()
    graph(five_bit_images(2))[OUTPUT].sum().backward()
    gradients = {name: float(graph.sites[name].log_scale.grad) for name in caps}
    assert all(gradients.values())
    with torch.no_grad():
        for name in caps:
            graph.sites[name].log_scale.add_(0.1)
    graph.refresh()
    assert all(after == pytest.approx(caps[name] * 1.10517, rel=1e-4) for name, after in graph.caps().items())


def test_weight_scales_wait_for_a_refresh() -> None:
    graph = chain_graph()
    graph.simulate(weights=True)
    site = graph.sites["conv0"]
    before = float(site.weight_scale[0])
    with torch.no_grad():
        site.layer.weight.mul_(8)
    graph(five_bit_images(1))
    assert float(site.weight_scale[0]) == before
    graph.refresh()
    assert float(site.weight_scale[0]) == 8 * before


def test_activations_need_ranges_and_integers_need_the_gain_edit() -> None:
    graph = chain_graph()
    with pytest.raises(QuantizationError, match=r"conv0 .* has no scale yet"):
        graph.simulate(weights=True, activations=True)
    calibrated(chain_graph_again := chain_graph())
    with pytest.raises(QuantizationError, match=r"conv0 .* fold real ranges into the weights by the gain edit"):
        chain_graph_again.integers(five_bit_images(1))


def test_a_layer_that_never_fires_gets_the_least_cap_that_its_weights_allow(caplog: pytest.LogCaptureFixture) -> None:
    network = ChainNetwork()
    torch.nn.init.constant_(network.conv1.bias, -100.0)
    with caplog.at_level("WARNING", "hatlite"):
        graph = calibrated(chain_graph(network))
    site, source = graph.sites["conv1"], graph.sites["conv0"]
    assert float(site.scale) == pytest.approx(float(source.scale) * site.step() / float(source.scale), rel=1e-6)
    assert "conv1 reached 1.526e-05 in calibration, less than one step of its weights makes" in caplog.text
