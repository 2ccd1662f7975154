"""What an operator costs, against hand-worked numbers."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from single_op_programs import MARCH, SOURCE, VECTOR_OPS, conv, program

from hatlite.compiler import CYCLES, layer_cost
from hatlite.errors import ProgramError
from hatlite.march import get_march
from hatlite.program import OPERATORS, Conv2d, Linear, Operator, Requantize, Weight


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


@pytest.mark.parametrize(("op", "out", "cycles"), VECTOR_OPS, ids=lambda value: getattr(value, "kind", ""))
def test_the_vector_unit_takes_a_tap_per_lane(op: Operator, out: tuple[int, int, int], cycles: int) -> None:
    cost = layer_cost(op, program(op, (8, 8, 4), out), MARCH)  # 256 output values: one cycle per tap
    assert (cost.macs, cost.compute_cycles) == (0, cycles)


def test_a_march_that_only_shifts_loads_no_multipliers_and_shorter_biases() -> None:
    op = conv(requantize=Requantize([1], [7], -128, 127, bias_bits=16))
    tidl = get_march("tidl")
    cost = layer_cost(op, program(op, (16, 16, 16), (16, 16, 32)), tidl)
    assert cost.loaded_bytes == 16 * 16 * 16 + 32 * 9 * 16 + 32 * 2 + 1 == 8769
    assert cost.compute_cycles == 256 * 9, "an array of 64 × 64 channels fills a sixteenth"
    wide = layer_cost(op, program(op, (16, 16, 16), (16, 16, 32), "int16"), tidl)
    assert wide.compute_cycles == 4 * cost.compute_cycles


def test_16_bit_weights_take_the_cycles_and_the_bytes_of_16_bits() -> None:
    rule = Requantize([1], [7], -128, 127, bias_bits=32)
    narrow, tidl = conv(requantize=rule), get_march("tidl")
    wide = dataclasses.replace(narrow, weight=Weight(narrow.weight.values.astype(np.int16)))
    shapes = ((16, 16, 16), (16, 16, 32))
    costs = {dtype: layer_cost(wide, program(wide, *shapes, dtype), tidl) for dtype in ("int8", "int16")}
    assert costs["int8"].compute_cycles == costs["int16"].compute_cycles == 4 * 256 * 9
    assert costs["int8"].loaded_bytes == 16 * 16 * 16 + 2 * 32 * 9 * 16 + 32 * 4 + 1
    assert costs["int8"].macs == layer_cost(narrow, program(narrow, *shapes), tidl).macs


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
    assert set(CYCLES) == set(OPERATORS.values())


class Softmax(Operator):
    """Something that no march has."""


def test_an_unknown_operator_is_named() -> None:
    op = Softmax(name="s", inputs=("x",), output="y", source=SOURCE)
    with pytest.raises(
        ProgramError, match=r"^s \(head\.cls fcos_head\.py:31\): no cost is known for Softmax, only for"
    ):
        layer_cost(op, program(op, (1, 1, 4), (1, 1, 4)), MARCH)
