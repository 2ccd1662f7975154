"""Functions as tables: all 256 inputs, and the same integers on all sides."""

import math

import numpy as np
import pytest
import torch
from networks import images
from operator_networks import SIZE, Stubbed, assert_exact, calibrated, conv, lowered
from torch import nn

from hatlite.errors import CaptureError
from hatlite.executor import Executor
from hatlite.nn import Add, Exp
from hatlite.quantization import FakeQuantGraph, QConfig, prepare
from hatlite.quantization.sites import LUT_FUNCTIONS, LutSite

FORMULAS = {
    Exp: math.exp,
    nn.Hardsigmoid: lambda x: min(max(x + 3, 0), 6) / 6,
    nn.Hardswish: lambda x: x * min(max(x + 3, 0), 6) / 6,
    nn.LeakyReLU: lambda x: max(x, 0.01 * x),
    nn.ReLU6: lambda x: min(max(x, 0), 6),
    nn.SiLU: lambda x: x / (1 + math.exp(-x)),
    nn.Sigmoid: lambda x: 1 / (1 + math.exp(-x)),
    nn.Tanh: math.tanh,
}


def graph_of(kind: type[nn.Module], *before: nn.Module, **qconfig: object) -> FakeQuantGraph:
    return calibrated(
        lambda: nn.Sequential(conv(3, 4, *before), kind(), nn.Conv2d(4, 3, 1)), qconfig=QConfig(**qconfig)
    )


def table_of(graph: FakeQuantGraph) -> LutSite:
    (site,) = [site for site in graph.sites.values() if isinstance(site, LutSite)]
    return site


def test_every_function_has_its_formula_here() -> None:
    assert set(FORMULAS) == set(LUT_FUNCTIONS)


@pytest.mark.parametrize("kind", LUT_FUNCTIONS)
def test_every_value_is_equal(kind: type[nn.Module]) -> None:
    assert_exact(graph_of(kind))


@pytest.mark.parametrize("kind", [nn.Sigmoid, nn.Tanh])
def test_a_result_in_int16_is_equal(kind: type[nn.Module]) -> None:
    graph = graph_of(kind, rules={"inner.1": dict(dtype="int16")})
    assert table_of(graph).dtype == "int16"
    assert_exact(graph)


@pytest.mark.parametrize("kind", LUT_FUNCTIONS)
@pytest.mark.parametrize("before", [(), (nn.ReLU(),)])
def test_all_256_inputs_are_the_function_in_float64(kind: type[nn.Module], before: tuple) -> None:
    graph = graph_of(kind, *before)
    site = table_of(graph)
    source = site.inputs[0]
    assert (source.dtype, site.dtype) == (
        "uint8" if before else "int8",
        "uint8" if before or LUT_FUNCTIONS[kind] else "int8",
    )
    low = 0 if before else -128
    scale_in, scale = float(source.scale), float(site.scale)
    exact = [FORMULAS[kind](q * scale_in) / scale for q in range(low, low + 256)]
    limits = (0, 255) if site.dtype == "uint8" else (-128, 127)
    for entry, real in zip(site.table.tolist(), exact, strict=True):
        assert limits[0] <= entry <= limits[1]
        assert abs(min(max(real, limits[0]), limits[1]) - entry) <= 0.5 + 1e-9
    q = torch.arange(low, low + 256).float().reshape(1, 1, 16, 16)
    assert site.forward_integer(q).flatten().tolist() == site.table.tolist()


@pytest.mark.parametrize("kind", LUT_FUNCTIONS)
def test_the_gradient_is_the_derivative_of_the_function(kind: type[nn.Module]) -> None:
    graph = graph_of(kind)
    site = table_of(graph)
    scale_in, scale = float(site.inputs[0].scale), float(site.scale)
    q = torch.arange(-128, 128).float().reshape(1, 1, 16, 16).requires_grad_()
    upstream = torch.randn(1, 1, 16, 16)
    site.forward_integer(q).backward(upstream)
    step = 1e-5
    for entry in range(0, 256, 5):
        x = (entry - 128) * scale_in
        low, middle, high = (FORMULAS[kind](x + offset) for offset in (-step, 0.0, step))
        if abs(x) < 2 * step or abs(abs(x) - 3) < 2 * step or abs(x - 6) < 2 * step:
            continue  # a kink
        inside = site.quant_min - 0.5 <= middle / scale <= site.quant_max + 0.5
        expected = (high - low) / (2 * step) * scale_in / scale * inside * float(upstream.flatten()[entry])
        assert float(q.grad.flatten()[entry]) == pytest.approx(expected, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("engine", ["reference", "float32"])
def test_both_engines_look_all_inputs_up(engine: str) -> None:
    """The table stands behind the stub, so that all 256 pixels go in."""
    graph = calibrated(lambda: nn.Sequential(nn.SiLU(), nn.Conv2d(3, 1, 1)))
    pixels = np.resize(np.arange(-128, 128), (2, *SIZE, 3)).astype(np.int8)
    values = Executor(lowered(graph), engine).run({"img": pixels}, keep="all")
    table = table_of(graph).table.numpy()
    np.testing.assert_array_equal(values["inner_0"], table[pixels.astype(int) + 128])


class Twice(nn.Module):
    """A function in place whose input is read again."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.silu, self.add = conv(), nn.SiLU(inplace=True), Add()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return self.add(self.silu(x), x)


def test_in_place_functions_leave_their_input_to_others() -> None:
    graph = calibrated(Twice)
    assert_exact(graph)
    graph.calibrate_mode()
    with torch.no_grad():
        x = graph.sites["inner_conv_0"].forward_float(graph.sites["quant"].forward_float(images(1, *SIZE)))
        before = x.clone()
        graph.sites["inner_silu"].forward_float(x)
    assert torch.equal(x, before)


def test_int16_inputs_are_refused() -> None:
    network = Stubbed(nn.Sequential(conv(), nn.Sigmoid()))
    message = r"inner.1 \(.*:\d+\): Sigmoid is a table of 256 entries and cannot take int16; give its input, inner.0.0,"
    with pytest.raises(CaptureError, match=message):
        prepare(network, QConfig(activation=dict(dtype="int16")), images(1, *SIZE))


def test_tables_travel_with_the_checkpoint() -> None:
    graph = graph_of(nn.Tanh)
    torch.manual_seed(0)
    network = Stubbed(nn.Sequential(conv(3, 4), nn.Tanh(), nn.Conv2d(4, 3, 1)))
    fresh = prepare(network, QConfig(), images(1, *SIZE))
    fresh.load_state_dict(graph.state_dict())
    assert torch.equal(table_of(fresh).table, table_of(graph).table)
    with torch.no_grad():
        first, second = (g.integers(images(1, *SIZE, seed=3)) for g in (graph.eval(), fresh.eval()))
    assert all(torch.equal(first[name], second[name]) for name in first)
