"""Bias correction takes the shift of rounding out, and gives the same biases however images are shared out."""

import copy

import pytest
import torch
from networks import SIGNED_MARCHES, ProofNetwork, images
from operator_networks import SIZE, Stubbed, calibrated, conv, differing
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.quantization import BiasCorrection, FakeQuantGraph, QConfig, prepare


class Mixed(nn.Module):
    """A shared layer, a batch norm, a transposed convolution and a layer without a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.shared = conv(3, 4, nn.ReLU()), nn.Conv2d(4, 4, 3, padding=1)
        self.up, self.bare = nn.ConvTranspose2d(4, 3, 2, 2), nn.Conv2d(3, 2, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bare(self.up(self.shared(self.shared(self.first(x)))))


def graph_of(march: str = "tidl") -> FakeQuantGraph:
    qconfig = QConfig(activation=dict(observer="min_max"), march=march)
    return calibrated(Mixed, 5, qconfig).eval()


def gap(graph: FakeQuantGraph, floating: FakeQuantGraph, img: torch.Tensor) -> float:
    """Return the largest difference of a channel mean of the result."""
    with torch.no_grad():
        floating.calibrate_mode()
        return float((graph(img)["y"] - floating(img)["y"]).mean((0, 2, 3)).abs().max())


@pytest.mark.parametrize("march", SIGNED_MARCHES)
def test_means_move_towards_those_of_the_float_network(march: str) -> None:
    graph = graph_of(march)
    floating = copy.deepcopy(graph)
    img = images(4, *SIZE, seed=1)
    before = gap(graph, floating, img)
    correction = BiasCorrection(graph, rate=0.5, decay=0.9)
    for epoch in range(6):
        correction.watch(img)
        correction.update(epoch)
    assert gap(graph, floating, img) < max(before / 2, float(graph.sites["inner_bare"].scale) / 4)
    assert differing(graph, images(1, *SIZE, seed=4)) == 0


def test_sharing_out_and_order_do_not_change_a_bit() -> None:
    alone, first, second = (BiasCorrection(graph_of()) for _ in range(3))
    img = images(5, *SIZE, seed=2)
    for epoch in range(2):
        alone.watch(img)
        first.watch(img[3:])
        second.watch(img[1:3])
        second.watch(img[:1])
        total = first.sums + second.sums
        assert torch.equal(total, alone.sums) and int(total[0]) == 5
        for correction, sums in ((alone, None), (first, total), (second, total)):
            correction.update(epoch, sums)
    for (name, one), two in zip(alone.graph.state_dict().items(), second.graph.state_dict().values(), strict=True):
        assert torch.equal(one, two), name


def test_one_step_by_hand() -> None:
    graph = graph_of()
    layer = graph.sites["inner_shared"].layer
    before = {name: value.clone() for name, value in graph.named_parameters()}
    correction = BiasCorrection(graph)
    img = images(1, *SIZE, seed=3)
    with torch.no_grad():
        real = graph.watch(img, {}, keep=graph.sites)
        integers = graph.integers(img)
    corrected = ("inner_first_0", "inner_shared", "inner_shared_1", "inner_up_phases")
    off = {n: (real[n] - graph.sites[n].dequantize(integers[n])).mean((0, 2, 3)) for n in corrected}
    gaps = [gap for n, gap in off.items() if "shared" in n]
    off["inner_up_phases"] = off["inner_up_phases"].reshape(3, 4).mean(1)  # the phases of each channel
    steps = torch.cat([gap.abs() / graph.sites[n].scale for n, gap in off.items()])
    correction.watch(img)
    assert correction.update(1) == pytest.approx(float(steps.mean()), rel=1e-4)
    torch.testing.assert_close(layer.bias, before["inner.shared.bias"] + 0.025 * torch.stack(gaps).mean(0))
    changed = {name for name, value in graph.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"inner.first.1.bias", "inner.shared.bias", "inner.up.bias"}, "biases alone"
    assert not correction.sums.any()


def test_mistakes_are_answered() -> None:
    graph = graph_of()
    with pytest.raises(QuantizationError, match="BiasCorrection: rate is 2; expected 0 ≤ rate ≤ 1"):
        BiasCorrection(graph, rate=2)
    with pytest.raises(QuantizationError, match="BiasCorrection: decay is -1; expected 0 ≤ decay ≤ 1"):
        BiasCorrection(graph, decay=-1)
    with pytest.raises(QuantizationError, match="update without an image; call watch before it"):
        BiasCorrection(graph).update(0)
    with pytest.raises(QuantizationError, match="has no scale yet"):
        BiasCorrection(prepare(ProofNetwork(), QConfig(), images(1, 36, 52)))
    nothing = BiasCorrection(calibrated(lambda: nn.MaxPool2d(2)))
    nothing.watch(images(1, *SIZE))
    assert nothing.update(0) == 0.0


def test_the_float_network_is_the_one_before_any_correction() -> None:
    graph = prepare(Stubbed(Mixed()), QConfig(march="tidl"), images(1, *SIZE)).eval()
    with torch.no_grad():
        graph(images(1, *SIZE))
    graph.finish_calibration()
    correction = BiasCorrection(graph, rate=1.0)
    img = images(1, *SIZE, seed=6)
    correction.watch(img)
    first = correction.sums.clone()
    correction.update(0)
    moved = [parameter.clone() for parameter in graph.parameters()]
    correction.watch(img)
    assert all(torch.equal(one, two) for one, two in zip(moved, graph.parameters(), strict=True))
    assert float(correction.sums[1:].abs().sum()) < float(first[1:].abs().sum())
