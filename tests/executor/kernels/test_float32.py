import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SIGNED_MARCHES

from hatlite.executor import Executor
from hatlite.executor.kernels import float32
from hatlite.program import Conv2d, IntProgram, Port, Requantize, Rescale, TensorType, Weight
from hatlite.program.samples import random_inputs, random_program


def both_engines(program, inputs):
    return (Executor(program, engine).run(inputs, keep="all") for engine in ("reference", "float32"))


@settings(max_examples=40, derandomize=True)
@given(seed=st.integers(0, 2**31), batch=st.sampled_from([1, 3]), march=st.sampled_from(SIGNED_MARCHES))
def test_every_value_equals_the_reference(seed, batch, march):
    program = random_program(seed, march=march)
    reference, fast = both_engines(program, random_inputs(program, seed, batch))
    assert set(reference) == set(fast) == set(program.values)
    for name in reference:
        np.testing.assert_array_equal(reference[name], fast[name], err_msg=name)
        assert fast[name].dtype == reference[name].dtype == program.values[name].dtype
        assert fast[name].flags.c_contiguous


def wide_program(x_dtype, channels, requantize):
    """Full-scale weights: 9 · 127 · channels · max|x| per sum."""
    weights = np.where(np.random.default_rng(0).random((4, 3, 3, channels)) < 0.5, 127, -127)
    weights[0] = 127
    op = Conv2d(
        name="c",
        inputs=("x",),
        output="y",
        weight=Weight(weights),
        bias=np.array([2**20, -3, 2**22 + 1, 7]),
        requantize=requantize,
        padding=(1, 1),
    )
    y_dtype = "int16" if requantize else "int32"
    values = {"x": TensorType((7, 5, channels), x_dtype, 0.1), "y": TensorType((7, 5, 4), y_dtype, 0.1)}
    ports = (Port("img", "x", x_dtype, 0.1),), (Port("out", "y", y_dtype, 0.1),)
    return IntProgram("wide", "bayes-sim", *ports, (op,), values)


@pytest.mark.parametrize(("x_dtype", "channels"), [("uint8", 8), ("uint8", 64), ("int8", 200), ("int16", 16)])
@pytest.mark.parametrize("shift", [None, 2, 24, 40])
def test_sums_beyond_the_exact_range_of_float32(x_dtype, channels, shift):
    if shift is None and x_dtype == "int16":
        channels = 1  # a raw accumulator has to fit int32
    rule = Requantize([32767], [shift], -(2**15), 2**15 - 1) if shift else None
    program = wide_program(x_dtype, channels, rule)
    high = int(np.iinfo(x_dtype).max)
    inputs = {"img": np.full((2, 7, 5, channels), high, x_dtype)}
    inputs["img"][1] = np.random.default_rng(1).integers(np.iinfo(x_dtype).min, high + 1, (7, 5, channels))
    reference, fast = both_engines(program, inputs)
    np.testing.assert_array_equal(reference["y"], fast["y"])


def test_large_products_are_rounded_in_int64():
    rule = Requantize([32767], [30], -(2**15), 2**15 - 1)
    acc = torch.tensor([2**37 - 1, -(2**37) + 5, 3, 2**31 - 7], dtype=torch.float64).view(1, 1, 2, 2)
    expected = np.clip((acc.long().numpy() * 32767 + 2**29) >> 30, -(2**15), 2**15 - 1)
    rounded = float32._requantizer(rule, 2**39)(acc.clone())
    np.testing.assert_array_equal(rounded.numpy(), expected)
    np.testing.assert_array_equal(float32._requantizer(rule, 2**37)(acc.clone()).numpy(), expected)


def test_rescale_leaves_its_input_alone():
    conv = wide_program("int8", 3, None)
    rescale = Rescale(name="r", inputs=("y",), output="z", requantize=Requantize([16385], [26], -128, 127))
    values = {**conv.values, "z": TensorType((7, 5, 4), "int8", 0.1)}
    outputs = (*conv.outputs, Port("rescaled", "z", "int8", 0.1))
    program = IntProgram("r", "bayes-sim", conv.inputs, outputs, (*conv.ops, rescale), values)
    reference, fast = both_engines(program, random_inputs(program, 3))
    np.testing.assert_array_equal(reference["y"], fast["y"])
    np.testing.assert_array_equal(reference["z"], fast["z"])


def test_autocast_of_the_caller_does_not_reach_the_integers():
    program = random_program(5)
    inputs = random_inputs(program, 5)
    reference = Executor(program, "reference").run(inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fast = Executor(program, "float32").run(inputs)
    for name in reference:
        np.testing.assert_array_equal(reference[name], fast[name])
