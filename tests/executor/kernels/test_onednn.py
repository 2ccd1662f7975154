"""The oneDNN engine gives the reference's integers, and takes a fused kernel only with a proof."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SIGNED_MARCHES

from hatlite.executor import Executor
from hatlite.executor.kernels import onednn
from hatlite.executor.self_test import threshold_program
from hatlite.ops.integer.certificate import agrees
from hatlite.ops.integer.engine_rules import ADD_RULES, CONV_RULES, zero_point
from hatlite.ops.integer.snap import Addition, snap, snap_add
from hatlite.program import Add, Conv2d, IntProgram, MaxPool2d, Port, Requantize, Rescale, TensorType, Weight
from hatlite.program.bounds import accumulator_peak
from hatlite.program.samples import random_inputs, random_program

CLAMPS = {"int8": (-128, 127), "uint8": (0, 255)}


def equal(program, inputs):
    reference, fast = (Executor(program, engine).run(inputs, keep="all") for engine in ("reference", "onednn"))
    for name in reference:
        np.testing.assert_array_equal(reference[name], fast[name], err_msg=name)
        assert fast[name].dtype == reference[name].dtype and fast[name].flags.c_contiguous


@settings(max_examples=40, derandomize=True)
@given(seed=st.integers(0, 2**31), batch=st.sampled_from([1, 3]), march=st.sampled_from(SIGNED_MARCHES))
def test_every_value_equals_the_reference(seed, batch, march):
    program = random_program(seed, march=march)
    equal(program, random_inputs(program, seed, batch))


@pytest.mark.parametrize("dtype", CLAMPS)
@pytest.mark.parametrize("seed", range(4))
def test_all_thresholds_of_a_proven_layer_are_rounded_as_defined(dtype, seed):
    program, image = threshold_program(dtype, seed)
    assert Executor(program, "onednn").kernels == {"thresholds": "fused"}
    equal(program, {"img": image})


def test_a_channel_without_a_proof_takes_the_layer_to_the_exact_accumulator():
    program, image = threshold_program("int8")
    op = program.ops[0]
    refused = next(m for m in range(16385, 2**15, 2) if not agrees(onednn.RULE, [m], [26], (-128, 127))[0])
    rule = Requantize(np.full(8, refused), np.full(8, 26), -128, 127)
    stubborn = replace(program, ops=(replace(op, requantize=rule, bias=op.bias * 0),))
    assert Executor(stubborn, "onednn").kernels == {"thresholds": "int8 products"}
    equal(stubborn, {"img": image})


def test_sixteen_bits_and_narrow_clamps_go_to_exact_accumulators():
    values = np.random.default_rng(0).integers(-127, 128, (4, 3, 3, 4))
    rules = {"int16": Requantize([20001], [20], -32768, 32767), "uint8": Requantize([20001], [24], 0, 31)}
    for dtype, rule in rules.items():
        ops = (
            Conv2d(name="a", inputs=("x",), output="y", weight=Weight(values), bias=[0] * 4, requantize=rule),
            Conv2d(name="b", inputs=("y",), output="z", weight=Weight(values), bias=[0] * 4, requantize=rules["int16"]),
        )
        shapes = {"x": (9, 8, 4), "y": (7, 6, 4), "z": (5, 4, 4)}
        types = {n: TensorType(s, t, 0.1) for (n, s), t in zip(shapes.items(), ("int8", dtype, "int16"), strict=True)}
        program = IntProgram(
            "p", "bayes-sim", (Port("img", "x", "int8", 0.1),), (Port("out", "z", "int16", 0.1),), ops, types
        )
        assert Executor(program, "onednn").kernels == {"a": "int8 products", "b": "int8 products"}
        equal(program, random_inputs(program, 5, batch=2))


@pytest.mark.parametrize("kinds", [("int8", "int8", "int8"), ("uint8", "int8", "int8"), ("uint8", "uint8", "uint8")])
def test_a_certified_addition_is_fused_and_all_pairs_are_equal(kinds):
    a, b, out = kinds
    ranges = tuple((int(np.iinfo(kind).min), int(np.iinfo(kind).max)) for kind in (a, b))
    found = snap_add((0.03125, 0.0217), 0.05, Addition(ranges, CLAMPS[out]))
    assert found.rank == len(ADD_RULES)
    rule = Requantize([1], [found.shift], *CLAMPS[out])
    op = Add(name="s", inputs=("a", "b"), output="y", multipliers=found.multipliers, requantize=rule)
    types = {n: TensorType((256, 256, 1), kind, 0.1) for n, kind in zip("aby", kinds, strict=True)}
    ports = tuple(Port(name, name, types[name].dtype, 0.1) for name in "ab")
    program = IntProgram("p", "bayes-sim", ports, (Port("out", "y", out, 0.1),), (op,), types)
    assert Executor(program, "onednn").kernels == {"s": "fused"}
    grids = np.meshgrid(*(np.arange(low, high + 1) for low, high in ranges), indexing="ij")
    equal(program, {n: g.astype(k).reshape(1, 256, 256, 1) for n, g, k in zip("ab", grids, kinds[:2], strict=True)})


def test_an_addition_that_the_kernel_rounds_otherwise_is_not_fused():
    """1/2 and 1/2: every odd sum is a tie, which the definition rounds up and the kernel to even."""
    rule = Requantize([1], [20], -128, 127)
    op = Add(name="s", inputs=("a", "b"), output="y", multipliers=(2**19, 2**19), requantize=rule)
    types = {n: TensorType((4, 5, 3), "int8", 0.1) for n in "aby"}
    ports = tuple(Port(name, name, "int8", 0.1) for name in "ab")
    program = IntProgram("p", "bayes-sim", ports, (Port("out", "y", "int8", 0.1),), (op,), types)
    assert Executor(program, "onednn").kernels == {"s": "float32"}
    equal(program, random_inputs(program, 0, batch=2))


def test_the_second_summand_survives():
    """The kernel sums in place; the value may have other readers."""
    rule = Requantize([1], [20], -128, 127)
    add = Add(name="s", inputs=("x", "x"), output="y", multipliers=(600001, 500002), requantize=rule)
    again = Rescale(name="r", inputs=("x",), output="z", requantize=Requantize([16385], [15], -128, 127))
    types = {n: TensorType((4, 5, 3), "int8", 0.1) for n in "xyz"}
    ports = (Port("img", "x", "int8", 0.1),), tuple(Port(n, n, "int8", 0.1) for n in "yz")
    program = IntProgram("p", "bayes-sim", *ports, (add, again), types)
    equal(program, random_inputs(program, 0))


@settings(max_examples=30, derandomize=True)
@given(seed=st.integers(0, 2**31))
def test_values_that_die_may_be_overwritten_without_a_trace(seed):
    """With keep='outputs' additions sum in place where nothing reads the value again; outputs and inputs stay whole."""
    program = random_program(seed, length=12)
    inputs = random_inputs(program, seed, 2)
    before = {name: array.copy() for name, array in inputs.items()}
    executor = Executor(program, "onednn")
    first, again = executor.run(inputs), executor.run(inputs)
    expected = Executor(program, "reference").run(inputs)
    for name in expected:
        np.testing.assert_array_equal(first[name], expected[name])
        np.testing.assert_array_equal(again[name], expected[name])
    np.testing.assert_array_equal(inputs["img"], before["img"])


def test_long_sums_are_fused_when_their_certificate_holds():
    """Σ|w|·255 is beyond 2^24, which the int32 accumulator does not mind; the rule covers its conversion to float32."""
    rng = np.random.default_rng(0)
    values = rng.integers(-127, 128, (4, 3, 3, 512))
    found = snap(np.full(4, 2.0**-9), 1.0, 1.0, (0, 255), CONV_RULES)
    rule = Requantize(found.multiplier, found.shift, 0, 255)
    op = Conv2d(name="c", inputs=("x",), output="y", weight=Weight(values), bias=[0] * 4, requantize=rule)
    types = {"x": TensorType((5, 4, 512), "uint8", 0.1), "y": TensorType((3, 2, 4), "uint8", 0.1)}
    ports = (Port("img", "x", "uint8", 0.1),), (Port("out", "y", "uint8", 0.1),)
    program = IntProgram("p", "bayes-sim", *ports, (op,), types)
    assert accumulator_peak(op, (0, 255)).max() > 2**24
    assert Executor(program, "onednn").kernels == {"c": "fused"}
    equal(program, random_inputs(program, 1, batch=2))


@pytest.mark.parametrize("dtype", CLAMPS)
@pytest.mark.parametrize(("kernel", "stride", "padding"), [((3, 3), (2, 2), (1, 1)), ((2, 3), (1, 2), (1, 0))])
def test_max_pool_on_bytes(dtype, kernel, stride, padding):
    op = MaxPool2d(name="m", inputs=("x",), output="y", kernel=kernel, stride=stride, padding=padding)
    height = (11 + 2 * padding[0] - kernel[0]) // stride[0] + 1
    width = (9 + 2 * padding[1] - kernel[1]) // stride[1] + 1
    types = {"x": TensorType((11, 9, 5), dtype, 0.1), "y": TensorType((height, width, 5), dtype, 0.1)}
    ports = (Port("img", "x", dtype, 0.1),), (Port("out", "y", dtype, 0.1),)
    program = IntProgram("p", "bayes-sim", *ports, (op,), types)
    assert Executor(program, "onednn").kernels == {"m": "bytes"}
    equal(program, random_inputs(program, 1, batch=2))
    equal(program, {"img": np.full((1, 11, 9, 5), CLAMPS[dtype][0], dtype)})


def test_the_zero_point_is_that_of_the_type():
    assert [zero_point(dtype) for dtype in ("int8", "uint8")] == [128, 0]
