"""Limits, costs and their sum, against hand-worked numbers."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hatlite.compiler import CYCLES, LIMITS, CompilerOptions, estimate, layer_cost, legalize
from hatlite.errors import ConfigError, MarchError, ProgramError
from hatlite.march import March, get_march
from hatlite.program import (
    OPERATORS,
    Add,
    Conv2d,
    IntProgram,
    Linear,
    MaxPool2d,
    Operator,
    Port,
    Requantize,
    Rescale,
    ResizeBilinear2x,
    ResizeNearest,
    Source,
    TensorType,
    Weight,
)

MARCH = get_march("bayes-sim")  # 1.25 GHz, array (8, 16, 32), 256 lanes, 16 GB/s: 12.8 bytes a cycle; overhead 512
SOURCE = Source("head.cls", "fcos_head.py:31")


def requantize(channels: int = 1) -> Requantize:
    return Requantize(np.full(channels, 16385), np.full(channels, 20), -128, 127)


def conv(channels_in: int = 16, channels_out: int = 32, kernel: int = 3, groups: int = 1, **more: Any) -> Conv2d:
    weight = Weight(np.ones((channels_out, kernel, kernel, channels_in // groups), np.int8))
    bias = np.zeros(channels_out, np.int32)
    more = {"padding": (kernel // 2, kernel // 2), "requantize": requantize(channels_out), **more}
    return Conv2d(name="c", inputs=("x",), output="y", source=SOURCE, weight=weight, bias=bias, groups=groups, **more)


def program(op: Operator, into: tuple[int, int, int], out: tuple[int, int, int], dtype: str = "int8") -> IntProgram:
    values = {name: TensorType(into, dtype, 0.5) for name in op.inputs}
    values[op.output] = TensorType(out, "int8", 0.5)
    inputs = tuple(Port(name, name, dtype, 0.5) for name in op.inputs)
    return IntProgram("net", "bayes-sim", inputs, (Port("out", op.output, "int8", 0.5),), (op,), values)


def test_a_convolution_by_hand() -> None:
    op = conv()
    cost = layer_cost(op, program(op, (16, 16, 16), (16, 16, 32)), MARCH)
    assert cost.macs == 16 * 16 * 32 * 3 * 3 * 16 == 1_179_648
    assert cost.compute_cycles == 256 // 8 * 9 == 288  # 4,096 MACs in every cycle
    assert cost.loaded_bytes == 16 * 16 * 16 + 32 * 9 * 16 + 32 * 4 + 32 * 3 == 8928
    assert cost.stored_bytes == 16 * 16 * 32 == 8192
    assert cost.memory_cycles == 1338  # 17,120 bytes / 12.8, rounded up
    assert cost.total_cycles == 512 + 1338
    assert cost.bound == "memory"
    assert cost.utilization == pytest.approx(288 / 1850)
    assert (cost.module, cost.line) == ("head.cls", "fcos_head.py:31")


@pytest.mark.parametrize(
    ("op", "into", "out", "dtype", "cycles"),
    [
        (conv(48, 48, groups=48), (4, 4, 48), (4, 4, 48), "int8", 2 * 2 * 9),  # depthwise: 2 pixel, 2 output steps
        (conv(48, 64, groups=2), (4, 4, 48), (4, 4, 64), "int8", 2 * 2 * 2 * 1 * 9),  # 24 inputs take two steps a group
        (conv(17, 33, kernel=1), (3, 3, 17), (3, 3, 33), "int8", 2 * 2 * 2),  # what a step does not fill is lost
        (conv(16, 32), (16, 16, 16), (16, 16, 32), "int16", 2 * 288),
    ],
)
def test_the_array_fills_in_steps(op: Conv2d, into: Any, out: Any, dtype: str, cycles: int) -> None:
    assert layer_cost(op, program(op, into, out, dtype), MARCH).compute_cycles == cycles


OTHERS = [
    (Add(name="a", inputs=("x", "z"), output="y", multipliers=(600000, 700000), requantize=requantize()), (8, 8, 4), 2),
    (MaxPool2d(name="m", inputs=("x",), output="y", kernel=(3, 3), stride=(2, 2), padding=(1, 1)), (4, 4, 16), 9),
    (ResizeNearest(name="n", inputs=("x",), output="y", factor=2), (16, 16, 1), 1),
    (ResizeBilinear2x(name="b", inputs=("x",), output="y", requantize=requantize()), (16, 16, 1), 9),
    (Rescale(name="r", inputs=("x",), output="y", requantize=requantize()), (8, 8, 4), 1),
]


@pytest.mark.parametrize(("op", "out", "cycles"), OTHERS, ids=lambda value: getattr(value, "kind", ""))
def test_the_vector_unit_takes_a_tap_per_lane(op: Operator, out: tuple[int, int, int], cycles: int) -> None:
    cost = layer_cost(op, program(op, (8, 8, 4), out), MARCH)  # 256 output values: one cycle per tap
    assert (cost.macs, cost.compute_cycles) == (0, cycles)


def test_a_linear_layer_by_hand() -> None:
    weight = Weight(np.ones((10, 1, 1, 320), np.int8))
    op = Linear(name="l", inputs=("x",), output="y", weight=weight, bias=np.zeros(10, np.int32), requantize=None)
    cost = layer_cost(op, program(op, (1, 1, 320), (1, 1, 10)), MARCH)
    assert (cost.macs, cost.compute_cycles, cost.loaded_bytes) == (3200, 20, 320 + 3200 + 40)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3, 5]))
def test_no_convolution_is_faster_than_the_array(cin: int, cout: int, height: int, width: int, kernel: int) -> None:
    op = conv(cin, cout, kernel)
    cost = layer_cost(op, program(op, (height, width, cin), (height, width, cout)), MARCH)
    assert cost.compute_cycles * MARCH.macs_per_cycle >= cost.macs
    assert 0 < cost.utilization <= 1


def test_every_operator_has_a_row() -> None:
    assert set(CYCLES) == set(LIMITS) == set(OPERATORS.values())


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Softmax(Operator):
    """Something that no march has."""


def test_an_unknown_operator_is_named() -> None:
    op = Softmax(name="s", inputs=("x",), output="y", source=SOURCE)
    unknown = program(op, (1, 1, 4), (1, 1, 4))
    with pytest.raises(
        ProgramError, match=r"^s \(head\.cls fcos_head\.py:31\): no cost is known for Softmax, only for"
    ):
        layer_cost(op, unknown, MARCH)
    with pytest.raises(MarchError, match=r"s \(.*\): the march has no such operator\."):
        estimate(unknown, MARCH)


def small_march() -> March:
    limits = dataclasses.replace(MARCH.limits, kernel=3, stride=2, dilation=1, channels=32, side=16, resize_factor=1)
    return dataclasses.replace(MARCH, limits=limits)


@pytest.mark.parametrize(
    ("op", "into", "out", "found"),
    [
        (conv(), (16, 16, 16), (16, 16, 32), []),
        (conv(kernel=5), (16, 16, 16), (16, 16, 32), [("kernel", 5, 3)]),
        (conv(stride=(1, 4), dilation=(2, 1)), (16, 16, 16), (14, 4, 32), [("stride", 4, 2), ("dilation", 2, 1)]),
        (conv(16, 64), (16, 16, 16), (16, 16, 64), [("output channels", 64, 32)]),
        (conv(), (16, 17, 16), (16, 17, 32), [("input side", 17, 16), ("output side", 17, 16)]),
        (OTHERS[2][0], (8, 8, 1), (16, 16, 1), [("resize factor", 2, 1)]),
        (OTHERS[1][0], (8, 8, 4), (4, 4, 4), []),
    ],
)
def test_limits_are_found_one_by_one(op: Operator, into: Any, out: Any, found: list[tuple[str, int, int]]) -> None:
    findings = legalize(program(op, into, out), small_march())
    assert [(f.limit, f.value, f.allowed) for f in findings] == found


def test_the_estimate_refuses_with_every_finding() -> None:
    with pytest.raises(MarchError, match=r"net cannot run on bayes-sim: 2 limits are exceeded\.\n- c \(conv2d, head"):
        estimate(program(conv(kernel=5, stride=(4, 4)), (16, 16, 16), (4, 4, 32)), small_march())


def test_the_estimate_refuses_another_march_and_an_empty_program() -> None:
    whole = program(conv(), (16, 16, 16), (16, 16, 32))
    with pytest.raises(MarchError, match=r"net was lowered for march 'other', not for 'bayes-sim'; lower it again\."):
        estimate(dataclasses.replace(whole, march="other"), MARCH)
    with pytest.raises(MarchError, match=r"net has no operators; there is nothing to estimate\."):
        estimate(dataclasses.replace(whole, ops=()), MARCH)


def test_the_report_adds_up_and_is_json() -> None:
    report = estimate(program(conv(), (16, 16, 16), (16, 16, 32)), MARCH, CompilerOptions(3))
    data = json.loads(json.dumps(report.to_dict()))
    assert data["total_cycles"] == 1850
    assert data["latency_ms"] == pytest.approx(1850 / 1.25e6)
    assert data["fps"] == pytest.approx(1000 / data["latency_ms"])
    assert (data["macs"], data["bytes"], data["march"], data["opt"]) == (1_179_648, 17_120, "bayes-sim", 3)
    assert data["simulated"] is True
    assert data["layers"][0]["output_shape"] == [16, 16, 32]
    assert data["layers"][0]["bound"] == "memory"


def test_the_table_explains_itself() -> None:
    lines = estimate(program(conv(), (16, 16, 16), (16, 16, 32)), MARCH).table().splitlines()
    assert lines[0].startswith("Estimate, not a measurement: cycles = overhead + max(compute, memory)")
    assert lines[3].split() == "c conv2d 16×16×32 1.18 8.7 8.0 288 1,338 1,850 memory 15.6".split()
    assert lines[5].endswith("simulated: 0.001 ms, 675675.7 images/s.")
    assert lines[-1] == "opt 2: accepted; one level exists until the compiler is there."


@pytest.mark.parametrize("level", [-1, 4, True, "2"])
def test_an_unknown_level_is_refused(level: Any) -> None:
    with pytest.raises(ConfigError, match=r"^opt is .*; expected one of 0, 1, 2, 3\.$"):
        CompilerOptions(level)
