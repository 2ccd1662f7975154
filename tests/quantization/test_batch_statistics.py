"""Batch norms that follow their batches in qat: as torch's do, and never inside the integers between two refreshes."""

import copy

import pytest
import torch
from networks import images
from operator_networks import SIZE, calibrated, conv, differing, train_a_little
from torch import nn
from torch.nn import functional as F

from hatlite.quantization import FakeQuantGraph, QConfig
from hatlite.quantization.sites import BatchStatistics

TRAIN = QConfig(bn="train", bn_freeze_epoch=2)


def graph_of(qconfig: QConfig = TRAIN) -> FakeQuantGraph:
    return calibrated(lambda: nn.Sequential(conv(3, 4, nn.ReLU()), conv(4, 4)), qconfig=qconfig)


def norms(graph: FakeQuantGraph) -> list[torch.Tensor]:
    statistics = ("running_mean", "running_var")
    return [b.clone() for name, b in graph.named_buffers() if name.endswith(statistics) and "sites." not in name]


@pytest.mark.parametrize("momentum", [0.1, None])
def test_they_move_as_torch_moves_them(momentum: float | None) -> None:
    torch.manual_seed(3)
    ours, theirs = nn.BatchNorm2d(5, momentum=momentum), nn.BatchNorm2d(5, momentum=momentum)
    statistics = BatchStatistics(ours)
    for _ in range(3):
        y = torch.randn(2, 5, 6, 7) * 3 + 1
        statistics.follow(y)
        theirs.train()(y)
    assert float(ours.running_mean.abs().max()) == 0.0
    statistics.take_over()
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_one_value_per_channel_says_nothing_about_a_variance() -> None:
    norm = nn.BatchNorm2d(5, momentum=None)
    statistics = BatchStatistics(norm)
    torch.manual_seed(4)
    statistics.follow(torch.randn(1, 5, 1, 1))
    assert float(norm.num_batches_tracked) == 0
    assert torch.equal(statistics.running_mean, torch.zeros(5)) and torch.equal(statistics.running_var, torch.ones(5))
    y = torch.randn(2, 5, 1, 1)
    statistics.follow(y)
    torch.testing.assert_close(statistics.running_var, y.var((0, 2, 3)), msg="the mean of what was counted")


def test_they_see_the_convolution_of_what_the_integers_stand_for() -> None:
    graph = graph_of().train()
    img = images(2, *SIZE, seed=5)
    values = graph.integers(img)
    site = graph.sites["inner_1_0"]
    y = F.conv2d(graph.sites["inner_0_0"].dequantize(values["inner_0_0"]), site.layer.weight, padding=1)
    bn = copy.deepcopy(site.layers[1]).train()
    bn(y)
    torch.testing.assert_close(site.batch_statistics.running_mean, bn.running_mean)
    torch.testing.assert_close(site.batch_statistics.running_var, bn.running_var)


def test_integers_are_exact_and_constant_until_the_refresh() -> None:
    graph = graph_of()
    img = images(2, *SIZE, seed=6)
    before, statistics = graph.eval().integers(img), norms(graph)
    for _ in range(3):
        graph.train().integers(img)
    for name, value in graph.train().integers(img).items():
        assert torch.equal(value, before[name]), name
    assert all(torch.equal(a, b) for a, b in zip(norms(graph), statistics, strict=True))
    train_a_little(graph, img)
    assert differing(graph, img) == 0
    graph.refresh()
    assert not any(torch.equal(a, b) for a, b in zip(norms(graph), statistics, strict=True))
    assert differing(graph, img) == 0


def test_they_freeze_after_their_epochs_and_in_eval() -> None:
    graph = graph_of()
    start = norms(graph)
    moved = []
    for epoch in (0, 1, 2, 3):
        graph.begin_epoch(epoch, 4)
        graph.eval().integers(images(2, *SIZE))
        graph.refresh()
        evaluated = norms(graph)
        graph.train().integers(images(2, *SIZE))
        graph.refresh()
        assert all(torch.equal(a, b) for a, b in zip(evaluated, start, strict=True)), "eval leaves no trace"
        moved.append(not torch.equal(norms(graph)[0], start[0]))
        start = norms(graph)
    assert moved == [True, True, False, False]


def test_frozen_is_the_default_and_keeps_the_old_names() -> None:
    graph = graph_of(QConfig())
    start = norms(graph)
    graph.train().integers(images(2, *SIZE))
    graph.refresh()
    assert all(torch.equal(a, b) for a, b in zip(norms(graph), start, strict=True))
    assert not any("batch_statistics" in name for name in graph.state_dict())


def test_a_batch_norm_that_two_calls_share_has_one_set_of_statistics() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn, self.mean = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.bn(self.conv(self.mean(self.bn(self.conv(x)))))

    graph = calibrated(Twice, qconfig=TRAIN)
    assert sum(isinstance(module, BatchStatistics) for module in graph.modules()) == 1
    train_a_little(graph, images(2, *SIZE))
    graph.refresh()
    assert differing(graph, images(2, *SIZE)) == 0


def test_a_copy_follows_on_its_own() -> None:
    graph = graph_of()
    twin = copy.deepcopy(graph)
    start = norms(twin)
    graph.train().integers(images(2, *SIZE))
    graph.refresh()
    twin.refresh()
    assert all(torch.equal(a, b) for a, b in zip(norms(twin), start, strict=True))
    assert not torch.equal(norms(graph)[0], start[0])


def test_a_transposed_convolution_shows_its_pixels_and_not_its_phases() -> None:
    layer = nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, bias=False)
    network = nn.Sequential(conv(3, 4, nn.ReLU()), nn.MaxPool2d(2), layer, nn.BatchNorm2d(3))
    graph = calibrated(lambda: network, qconfig=QConfig(activation=dict(learn=True), bn="train"))
    img = images(2, *SIZE, seed=5)
    values = graph.train().integers(img)
    bn = copy.deepcopy(graph.inner[3]).train()
    with torch.no_grad():
        bn(graph.inner[2](graph.sites["inner_1"].dequantize(values["inner_1"])))
    (_, statistics) = (module for module in graph.modules() if isinstance(module, BatchStatistics))
    torch.testing.assert_close(statistics.running_mean, bn.running_mean)
    torch.testing.assert_close(statistics.running_var, bn.running_var)
    train_a_little(graph, img)
    graph.refresh()
    assert differing(graph, img) == 0
