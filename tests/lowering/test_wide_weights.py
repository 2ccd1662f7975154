"""16-bit weights: the fake-quant forward, all engines and ONNX Runtime agree at 0 LSB behind 8 and 16 bits."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import ProofNetwork, images
from operator_networks import SIZE, assert_exact, calibrated, conv, differing, lowered
from torch import nn

from hatlite.executor import Executor, check_engines
from hatlite.nn import Concat
from hatlite.program import Conv2d
from hatlite.quantization import FakeQuantGraph, QConfig, prepare

PICTURE = (36, 52)


class Several(nn.Module):
    """A convolution of each kind: dense, grouped, depthwise, transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu = conv(3, 6), nn.ReLU()
        self.grouped, self.depthwise = nn.Conv2d(6, 6, 3, 2, groups=2), nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.up = nn.ConvTranspose2d(6, 4, 3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(self.depthwise(self.relu(self.grouped(self.relu(self.first(x))))))


@pytest.mark.parametrize(
    "choices",
    [
        dict(weight=dict(dtype="int16")),
        dict(weight=dict(dtype="int16"), activation=dict(dtype="int16", learn=True), bn="train"),
        dict(weight=dict(dtype="int16"), weight_scales="depthwise", large_bias="reduce_weight_scale"),
        dict(first_and_last="int16"),
        dict(rules={"inner.grouped": dict(weight_dtype="int16", dtype="int16")}),
    ],
)
def test_every_value_is_equal(choices: dict[str, Any]) -> None:
    assert_exact(calibrated(Several, 1, QConfig(march="tidl", **choices)))


def proof_graph(seed: int, qconfig: QConfig) -> FakeQuantGraph:
    graph = prepare(ProofNetwork(seed), qconfig, images(1, *PICTURE))
    with torch.no_grad():
        graph(images(2, *PICTURE, seed=seed))
    graph.finish_calibration()
    return graph


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), weight=st.sampled_from(["int8", "int16"]), dtype=st.sampled_from(["int8", "int16"]))
def test_the_first_and_last_layers_of_drawn_networks_are_equal(seed: int, weight: str, dtype: str) -> None:
    """Shared heads on five levels, whose stubs name 8, 16 and 32 bits."""
    activation, weights = dict(dtype=dtype, observer="min_max"), dict(dtype=weight)
    qconfig = QConfig(activation=activation, weight=weights, first_and_last="int16", march="tidl")
    graph = proof_graph(seed, qconfig)
    assert differing(graph, images(1, *PICTURE, seed=seed, full_scale=seed % 2 == 0)) == 0


def types_of(graph: FakeQuantGraph) -> dict[str, tuple[str, str]]:
    """Return module path → types of weights and result of every convolution of the program."""
    program = lowered(graph)
    return {
        op.source.module: (op.weight.dtype, program.values[op.output].dtype)
        for op in program.ops
        if isinstance(op, Conv2d)
    }


def test_one_line_makes_the_first_and_last_layers_wide_and_no_others() -> None:
    found = types_of(proof_graph(0, QConfig(first_and_last="int16", march="tidl")))
    outer = {"backbone.stem", "head.cls", "head.box", "head.centerness"}
    assert {path for path, types in found.items() if types == ("int16", "int16")} == outer
    assert {path for path, types in found.items() if types[0] == "int8" and types[1] in ("int8", "uint8")} == (
        set(found) - outer
    )


def test_a_rule_wins_over_the_one_line() -> None:
    rules = {"backbone.stem": dict(weight_dtype="int8"), "head.box": dict(dtype="int8"), "head.tower": dict(bits=4)}
    found = types_of(proof_graph(0, QConfig(first_and_last="int16", rules=rules, march="tidl")))
    assert found["backbone.stem"] == ("int8", "int16")
    assert found["head.box"] == ("int16", "int32"), "its stub names the raw accumulator"
    assert found["head.cls"] == ("int16", "int16")


def test_weights_of_16_bits_are_256_times_finer() -> None:
    error = {}
    for dtype in ("int8", "int16"):
        rules = {"inner.1": dict(dtype="int16", weight_dtype=dtype)}
        graph = calibrated(
            lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3)), 0, QConfig(rules=rules, march="tidl")
        )
        site = graph.sites["inner_1"]
        weight, _ = site.integers()
        error[dtype] = float((weight * site.weight_scale.reshape(-1, 1, 1, 1) - site.layer.weight.detach()).abs().max())
    assert error["int16"] < error["int8"] / 100


def test_what_leaves_together_leaves_in_16_bits() -> None:
    class Ends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool, self.first, self.second, self.concat = nn.MaxPool2d(2), conv(3, 4), conv(4, 4), Concat()
            self.left, self.right, self.shuffle = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.PixelShuffle(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.second(self.first(self.pool(x)))
            return self.shuffle(self.concat(self.left(x), self.right(x)))

    graph = calibrated(Ends, 0, QConfig(first_and_last="int16", march="tidl"))
    wide = {path.removeprefix("inner.") for path, types in types_of(graph).items() if types == ("int16", "int16")}
    assert wide == {"first.0", "left", "right"}
    assert [port.dtype for port in lowered(graph).outputs] == ["int16"]
    assert differing(graph, images(2, *SIZE, seed=3)) == 0


def test_fast_engines_leave_them_to_the_one_that_is_exact() -> None:
    program = lowered(
        calibrated(Several, 1, QConfig(rules={"inner.first.0": dict(weight_dtype="int16")}, march="tidl"))
    )
    for engine in {check.engine for check in check_engines() if check.usable} & {"native", "onednn"}:
        kernels = Executor(program, engine).kernels
        assert kernels["inner_first_0"] == "float32" != kernels["inner_grouped"]
