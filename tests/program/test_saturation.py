"""What stands at the limits is counted, the floor of a ReLU is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from single_op_programs import VECTOR_OPS, conv, program

from hatlite.program import Lut, Requantize, count_saturated, limits_of
from hatlite.qparams import int_range


@pytest.mark.parametrize("op", [op for op, *_ in VECTOR_OPS], ids=lambda op: op.kind)
def test_what_rounds_has_limits_and_what_selects_has_none(op) -> None:
    found = limits_of(program(op, (8, 8, 1), (8, 8, 1)))
    assert found["x"] == (-128, 127), "the image is clamped when it is quantised"
    assert found.get("y") == ((-128, 127) if hasattr(op, "requantize") or isinstance(op, Lut) else None)


def test_a_relu_has_no_lower_limit_and_an_accumulator_none_at_all() -> None:
    relu = Requantize(np.full(32, 16385), np.full(32, 20), 0, 127)
    assert limits_of(program(conv(requantize=relu), (8, 8, 16), (8, 8, 32)))["y"] == (None, 127)
    assert "y" not in limits_of(program(conv(requantize=None), (8, 8, 16), (8, 8, 32)))
    assert limits_of(program(conv(), (8, 8, 16), (8, 8, 32), dtype="uint8"))["x"] == (None, 255)


def test_by_hand() -> None:
    values = np.array([[-128, -127, 0], [0, 127, 127]], np.int8)
    assert count_saturated(values, (-128, 127)) == 3
    assert count_saturated(values, (None, 127)) == 2


@given(st.sampled_from(["int8", "uint8", "int16"]), st.lists(st.integers(-40000, 40000), max_size=50), st.booleans())
def test_every_clamped_value_is_counted(dtype: str, accumulators: list[int], relu: bool) -> None:
    low, high = int_range(dtype)
    low = 0 if relu else low
    clamped = np.clip(np.array(accumulators, np.int64), low, high)
    expected = sum(value >= high or (value <= low < 0) for value in accumulators)
    assert count_saturated(clamped, (low if low < 0 else None, high)) == expected
