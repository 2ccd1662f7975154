"""Small networks around single operators, and the check that all sides compute the same integers."""

from collections.abc import Callable

import numpy as np
import torch
from networks import images
from onnx_runs import everywhere
from torch import nn

from hatlite.lowering import lower
from hatlite.march import MARCHES, March
from hatlite.nn import DeQuantStub, QuantStub
from hatlite.program import IntProgram, dumps, loads
from hatlite.quantization import FakeQuantGraph, QConfig, prepare

MARCH = MARCHES["bayes-sim"]
SIZE = (11, 14)


class Stubbed(nn.Module):
    """`inner` between the stubs; it may return one tensor or a dict of them."""

    def __init__(self, inner: nn.Module, scale: float | None = 1 / 128) -> None:
        super().__init__()
        self.quant, self.inner, self.dequant = QuantStub(scale), inner, DeQuantStub()

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.inner(self.quant(img))
        named = y if isinstance(y, dict) else {"y": y}
        return {name: self.dequant(value) for name, value in named.items()}


def conv(channels_in: int = 3, channels_out: int = 4, *after: nn.Module) -> nn.Sequential:
    """Convolution with batch norm, whose statistics are far from 0 and 1, and what comes after."""
    bn = nn.BatchNorm2d(channels_out)
    nn.init.normal_(bn.weight, 0.7, 0.5)
    nn.init.normal_(bn.bias, 0.0, 0.4)
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False), bn, *after)


def calibrated(
    make: Callable[[], nn.Module], seed: int = 0, qconfig: QConfig | None = None, scale: float | None = 1 / 128
) -> FakeQuantGraph:
    """Draw the network that `make` makes and calibrate it on two images."""
    torch.manual_seed(seed)
    graph = prepare(Stubbed(make(), scale), qconfig or QConfig(), images(1, *SIZE))
    with torch.no_grad():
        graph(images(2, *SIZE, seed=seed))
    graph.finish_calibration()
    return graph


def march_of(graph: FakeQuantGraph) -> March:
    """Return the march that the graph was prepared for."""
    own = graph.sites["quant"].arithmetic
    return next(march for march in MARCHES.values() if march.arithmetic.computes_like(own))


def lowered(graph: FakeQuantGraph) -> IntProgram:
    """Lower, and go through the bytes of a file."""
    return loads(dumps(lower(graph, march_of(graph))))


def differing(graph: FakeQuantGraph, img: torch.Tensor) -> int:
    """Return how many integers differ: train against eval mode, all engines and ONNX Runtime against the graph."""
    with torch.no_grad():
        expected = graph.eval().integers(img)
    in_train = graph.train().integers(img)
    count = sum(int((in_train[name] != q).sum()) for name, q in expected.items())
    program = lowered(graph)
    entry = graph.sites["quant"]
    q = (img.double() / entry.scale + 0.5).floor().clamp(entry.quant_min, entry.quant_max)
    array = q.permute(0, 2, 3, 1).numpy().astype(entry.dtype)
    for got in everywhere(program, {"img": np.ascontiguousarray(array)}).values():
        assert set(got) == set(expected)
        for name, q in expected.items():
            wanted = (q if q.ndim == 4 else q[:, :, None, None]).permute(0, 2, 3, 1).numpy()
            assert got[name].shape == wanted.shape
            count += int((got[name] != wanted).sum())
    return count


def train_a_little(graph: FakeQuantGraph, img: torch.Tensor, *, may_be_dead: bool = False) -> None:
    """Two steps of gradient descent; gradients are finite, and some are not 0 unless all units may be dead ReLUs."""
    optimizer = torch.optim.SGD(graph.parameters(), lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        sum(out.square().mean() for out in graph.train()(img).values()).backward()
        gradients = [p.grad for p in graph.parameters() if p.grad is not None]
        assert all(torch.isfinite(grad).all() for grad in gradients)
        assert may_be_dead or any((grad != 0).any() for grad in gradients)
        torch.nn.utils.clip_grad_norm_(graph.parameters(), 1.0)
        optimizer.step()


def assert_exact(graph: FakeQuantGraph) -> None:
    """Equality on random and full-scale images, behind training steps, and behind a refresh."""
    for full_scale in (False, True):
        assert differing(graph, images(2, *SIZE, seed=8, full_scale=full_scale)) == 0
    train_a_little(graph, images(2, *SIZE, seed=9))
    assert differing(graph, images(1, *SIZE, seed=10)) == 0
    graph.refresh()
    assert differing(graph, images(1, *SIZE, seed=11)) == 0
