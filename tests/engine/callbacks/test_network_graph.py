"""The drawn graph has the calls, edges and shapes of the network."""

import pytest
import torch
from torch import nn

from hatlite.engine.callbacks.network_graph import network_graph
from hatlite.errors import CaptureError
from hatlite.nn import Add, DeQuantStub, QuantStub
from hatlite.quantization import QConfig, prepare


class Forked(nn.Module):
    """Two convolutions of one module, added."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub("int8")
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4))
        self.tower, self.add = nn.Conv2d(4, 4, 1), Add()

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.body(self.quant(img))
        return {"sum_s2": self.dequant(self.add(self.tower(y), self.tower(self.tower(y))))}


def drawn(network: nn.Module) -> dict[str, tuple[str, list[str], list[int]]]:
    nodes = {node.name: node for node in network_graph(network, (3, 8, 6)).node}
    shapes = {name: node.attr["_output_shapes"].list.shape for name, node in nodes.items()}
    sizes = {name: [dim.size for shape in shapes[name] for dim in shape.dim] for name in nodes}
    return {name: (node.op, list(node.input), sizes[name]) for name, node in nodes.items()}


def test_a_float_network_by_modules():
    network = Forked().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert drawn(network) == {
        "img": ("Input", [], [-1, 3, 8, 6]),
        "quant": ("QuantStub", ["img"], [-1, 3, 8, 6]),
        "body/0": ("Conv2d", ["quant"], [-1, 4, 4, 3]),
        "body/1": ("BatchNorm2d", ["body/0"], [-1, 4, 4, 3]),
        "tower": ("Conv2d", ["body/1"], [-1, 4, 4, 3]),
        "tower_2": ("Conv2d", ["body/1"], [-1, 4, 4, 3]),
        "tower_3": ("Conv2d", ["tower_2"], [-1, 4, 4, 3]),
        "add": ("Add", ["tower", "tower_3"], [-1, 4, 4, 3]),
        "dequant": ("DeQuantStub", ["add"], [-1, 4, 4, 3]),
        "sum_s2": ("Output", ["dequant"], []),
    }
    assert network.training and network.body[1].training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_fake_quant_graph_by_sites():
    assert drawn(prepare(Forked().eval(), QConfig(), torch.zeros(1, 3, 8, 6))) == {
        "quant": ("InputSite int8", [], [-1, 3, 8, 6]),
        "body/0": ("ConvSite int8", ["quant"], [-1, 4, 4, 3]),
        "tower": ("ConvSite int8", ["body/0"], [-1, 4, 4, 3]),
        "tower_2": ("ConvSite int8", ["body/0"], [-1, 4, 4, 3]),
        "tower_3": ("ConvSite int8", ["tower_2"], [-1, 4, 4, 3]),
        "add": ("AddSite int8", ["tower", "tower_3"], [-1, 4, 4, 3]),
        "sum_s2": ("Output", ["add"], []),
    }


def test_a_network_that_returns_no_dict_is_refused():
    with pytest.raises(CaptureError, match="The network returns no dict of tensors; return {'cls_logits_s8'"):
        network_graph(nn.Sequential(nn.Conv2d(3, 1, 1)), (3, 8, 6))
