"""The network: what a trace sees, and the size and work of the published model."""

from collections import Counter

import pytest
import torch
from torch import fx, nn

from hatlite.errors import BuildError
from hatlite.models.detectors.network import Network
from hatlite.nn import Add, DeQuantStub, Interpolate, QuantStub
from hatlite.registry import OBJECT_REGISTRY

LEAVES = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.Identity, Add, Interpolate, QuantStub, DeQuantStub)


class LeafTracer(fx.Tracer):
    """Every operation with an integer form is one node."""

    def is_leaf_module(self, m, module_qualified_name):
        return isinstance(m, LEAVES)


@pytest.fixture(name="tutorial_network", scope="module")
def tutorial_network_fixture(tutorial_model):
    torch.manual_seed(0)
    return OBJECT_REGISTRY.build(tutorial_model).network.eval()


def test_trace_holds_leaf_modules_only(tutorial_network):
    graph = LeafTracer().trace(tutorial_network)
    modules = dict(tutorial_network.named_modules())
    kinds = Counter(node.op for node in graph.nodes)
    assert kinds == {"placeholder": 1, "call_module": len(graph.nodes) - 2, "output": 1}
    calls = Counter(type(modules[node.target]).__name__ for node in graph.nodes if node.op == "call_module")
    assert calls["QuantStub"] == 1
    assert calls["DeQuantStub"] == 15
    assert calls["Interpolate"] == calls["MaxPool2d"] - 2 == 12
    # A sum of two per top-down and last node, of three per other node; nine residuals of the backbone.
    assert calls["Add"] == 3 * (4 + 3 * 2 + 1) + 9


def test_traced_network_computes_the_same(tutorial_network):
    traced = fx.GraphModule(tutorial_network, LeafTracer().trace(tutorial_network))
    img = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        expected, outputs = tutorial_network(img), traced(img)
    assert list(outputs) == list(expected) == list(tutorial_network.output_strides)
    assert all(torch.equal(outputs[name], expected[name]) for name in expected)
    for name, stride in tutorial_network.output_strides.items():
        assert expected[name].shape[2:] == (128 // stride, 128 // stride)


def test_parameters_and_macs_of_the_published_model(tutorial_network):
    macs = Counter()

    def count(part):
        def hook(conv, _inputs, output):
            macs[part] += output.numel() * conv.weight[0].numel()

        return hook

    parts = {name: getattr(tutorial_network, name) for name in ("backbone", "neck", "head")}
    hooks = [
        conv.register_forward_hook(count(name))
        for name, part in parts.items()
        for conv in part.modules()
        if isinstance(conv, nn.Conv2d)
    ]
    with torch.no_grad():
        tutorial_network(torch.zeros(1, 3, 128, 128))
    for hook in hooks:
        hook.remove()
    gmacs = {name: round(16 * count / 1e9, 2) for name, count in macs.items()}  # 512² holds sixteen times 128²
    assert gmacs == {"backbone": 1.90, "neck": 0.14, "head": 0.47}
    assert round(16 * macs.total() / 1e9, 2) == 2.51
    millions = {name: sum(p.numel() for p in part.parameters()) / 1e6 for name, part in parts.items()}
    assert millions == pytest.approx({"backbone": 2.96, "neck": 0.20, "head": 0.09}, abs=0.006)
    assert sum(millions.values()) == pytest.approx(3.25, abs=0.01)


def test_input_is_a_pixel_minus_128(tutorial_network):
    assert tutorial_network.quant.scale == 1 / 128
    assert [name for name, _ in tutorial_network.named_children()] == ["quant", "backbone", "neck", "head"]


def test_channels_flow_from_part_to_part(small_model):
    cfg = small_model()
    backbone, neck, head = (OBJECT_REGISTRY.build(cfg[name]) for name in ("backbone", "neck", "head"))
    network = Network(backbone, neck, head)
    assert neck.in_channels == backbone.stride2channels
    assert head.in_channels == neck.stride2channels
    assert network(torch.randn(1, 3, 32, 64))["centerness_s32"].shape == (1, 1, 1, 2)


def test_features_may_go_to_the_head_without_a_neck(small_gnetdet):
    cfg = small_gnetdet()
    network = Network(OBJECT_REGISTRY.build(cfg["backbone"]), None, OBJECT_REGISTRY.build(cfg["head"]))
    assert [name for name, _ in network.named_children()] == ["quant", "backbone", "head"]
    assert network(torch.zeros(1, 3, 56, 56))["predictions_s4"].shape == (1, 13, 14, 14)
    assert network.size_divisor == 1


def test_a_backbone_may_say_what_its_input_is(small_gnetdet, small_model):
    network = OBJECT_REGISTRY.build(small_gnetdet()).network
    assert (network.quant.scale, network.quant.levels) == (1.0, (0, 31))
    network = OBJECT_REGISTRY.build(small_model()).network
    assert (network.quant.scale, network.quant.levels) == (1 / 128, (-128, 127))


def test_a_classifier_is_no_backbone(small_model):
    cfg = small_model()
    cfg["backbone"]["include_top"] = True
    with pytest.raises(
        BuildError, match=r"backbone.include_top is True, so EfficientNet returns .*; leave include_top"
    ):
        OBJECT_REGISTRY.build(cfg)
