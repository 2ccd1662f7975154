"""The form with limits: weights on their grid, ranges that are powers of two, close to the integers and no more."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import images
from onnx import numpy_helper
from onnx_runs import run
from operator_networks import SIZE, calibrated, conv, lowered
from torch import nn
from torch.nn import functional as F

from hatlite.errors import ProgramError
from hatlite.executor import Executor
from hatlite.export import exact_outputs, to_onnx
from hatlite.nn import Add, Interpolate
from hatlite.ops.integer.fixed_point import quantize
from hatlite.program import IntProgram
from hatlite.program.samples import random_inputs, random_program
from hatlite.quantization import FakeQuantGraph, QConfig
from hatlite.quantization.sites import AvgPoolSite, ConvSite


class Small(nn.Module):
    """Convolutions, a sum, an average, a doubling and a linear end."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.add = conv(3, 4, nn.ReLU()), conv(4, 4), Add()
        self.up, self.pool, self.last = Interpolate(), nn.AvgPool2d(2), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        a = self.first(x)
        return {"y": self.last(self.pool(self.up(self.add(a, self.second(a)))))}


def graph_of(seed: int) -> FakeQuantGraph:
    weight = {"dtype": "int16" if seed % 2 else "int8"}
    qconfig = QConfig(
        march="tidl", activation=dict(observer="min_max"), weight=weight, large_bias="reduce_weight_scale"
    )
    return calibrated(Small, seed, qconfig)


def program_of(seed: int) -> IntProgram:
    return lowered(graph_of(seed))


def float_network(graph: FakeQuantGraph, img: torch.Tensor) -> torch.Tensor:
    """Every site in float64: convolutions by the weights that its integers stand for, the range behind each."""
    values: dict[str, torch.Tensor] = {"quant": img.double()}
    for name, site in graph.sites.items():
        inputs = [values[part.name] for part in site.inputs]
        if isinstance(site, ConvSite):
            weight, bias = site.integers()
            step = site.weight_scale.reshape(-1, 1, 1, 1)
            y = F.conv2d(inputs[0], weight * step, bias * step.flatten() * site.inputs[0].scale, *site.geometry)
        elif isinstance(site, AvgPoolSite):
            y = F.avg_pool2d(inputs[0], site.kernel, site.stride) * math.prod(site.kernel)
            y = y * site.weight * site.weight_scale
        elif inputs:
            y = site.forward_float(*inputs)
        else:
            continue
        values[name] = y.clamp(site.quant_min * site.scale, (site.quant_max + 1) * site.scale)
    return values[graph.outputs["y"]]


def constants(model, kind: str) -> list[list[np.ndarray]]:
    """Return the constant inputs of every node of a kind."""
    held = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    return [[held[name] for name in node.input if name in held] for node in model.graph.node if node.op_type == kind]


def is_power(value: float) -> bool:
    return value == 0 or np.frexp(abs(value))[0] == 0.5


@pytest.mark.parametrize("seed", [0, 1])
def test_weights_lie_on_their_grid_and_ranges_are_powers_of_two(seed):
    program = program_of(seed)
    model = to_onnx(program, "clip")
    weights = [found[0] for found in constants(model, "Conv")]
    ops = [op for op in program.ops if op.kind == "conv2d"]
    for op, weight in zip(ops, weights, strict=True):
        steps = weight / op.weight.scale.astype(np.float32).reshape(-1, 1, 1, 1)
        np.testing.assert_array_equal(steps, op.weight.values.transpose(0, 3, 1, 2))
    ranges = [found for found in constants(model, "Clip")[:-1] if found]  # the last one makes integers
    assert len(ranges) > 4 and all(is_power(float(limit)) for pair in ranges for limit in pair)
    assert not {"QuantizeLinear", "DequantizeLinear", "QLinearConv"} & {node.op_type for node in model.graph.node}


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6))
def test_it_is_the_float_network_of_these_weights(seed):
    """Up to what float32 rounds; and integer ends are the nearest integers of real ones."""
    graph = graph_of(seed)
    program, img = lowered(graph), images(2, *SIZE, seed=seed)
    with torch.no_grad():
        wanted = float_network(graph, img).permute(0, 2, 3, 1).numpy()
    real = run(to_onnx(program, "clip", real=True), {"img": img.permute(0, 2, 3, 1).numpy()})["y"]
    np.testing.assert_allclose(real, wanted, rtol=1e-5, atol=1e-4 * program.outputs[0].scale)
    q = (img * 128).permute(0, 2, 3, 1).numpy().astype(np.int8)
    got = run(to_onnx(program, "clip"), {"img": q})["y"]
    np.testing.assert_array_equal(got, quantize(real, program.outputs[0].scale, "int8"))


def test_nothing_is_promised_but_what_only_moves_values():
    program = program_of(1)
    assert exact_outputs(program, "clip") == frozenset()
    moving = random_program(3, kinds=("max_pool2d", "pad", "slice"), march="tidl")
    assert exact_outputs(moving, "clip") == {"features"}
    inputs = random_inputs(moving, 3)
    expected = Executor(moving, "reference").run(inputs)["features"]
    np.testing.assert_array_equal(run(to_onnx(moving, "clip"), inputs)["features"], expected)


def test_other_marches_and_tables_are_refused():
    with pytest.raises(ProgramError, match="'clip' says scales by ranges that are powers of two, .*'bayes-sim'.*'qdq'"):
        to_onnx(random_program(0), "clip")
    table = random_program(0, kinds=("lut",), march="tidl")
    with pytest.raises(ProgramError, match=r"lut 'lut_0' \(.*\) has no ONNX form; there is one for Conv2d"):
        to_onnx(table, "clip")
