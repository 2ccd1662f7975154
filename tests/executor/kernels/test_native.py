"""The native engine gives the reference's integers for every shape of tile, window and rounding."""

import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SIGNED_MARCHES

from hatlite.executor import Executor
from hatlite.executor.native.library import load_library
from hatlite.executor.native.parts import RULE
from hatlite.executor.self_test import threshold_program
from hatlite.ops.integer.certificate import agrees
from hatlite.program import Add, Conv2d, IntProgram, MaxPool2d, Port, Requantize, Sub, TensorType, Weight
from hatlite.program.samples import random_inputs, random_program
from hatlite.program.shapes import output_shape

LACKING = "is written for x86-64|has no AVX-512 VNNI|needs a C compiler"
CLAMPS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}


@pytest.fixture(scope="module", autouse=True)
def _library():
    try:
        load_library()
    except RuntimeError as problem:
        if not re.search(LACKING, str(problem)):
            raise  # a library that does not compile or load here is a failure, not a machine without one
        pytest.skip(f"{problem}")


def equal(program, inputs):
    for keep in ("outputs", "all"):
        reference, fast = (Executor(program, engine).run(inputs, keep) for engine in ("reference", "native"))
        for name in reference:
            np.testing.assert_array_equal(reference[name], fast[name], err_msg=f"{keep} {name}")
            assert fast[name].dtype == reference[name].dtype and fast[name].flags.c_contiguous


def program_of(ops, values, out):
    ports = (Port("img", "x", values["x"].dtype, 1.0),), (Port("out", out, values[out].dtype, values[out].scale),)
    return IntProgram("drawn", "bayes-sim", *ports, tuple(ops), values)


def convolution(rng, name, x, values, *, channels, out, depthwise=False, kernel=(1, 1), **window):
    """Append a convolution whose results spread over the range of `out`; None leaves the accumulator."""
    inputs = 1 if depthwise else values[x].shape[2]
    weight = rng.integers(-127, 128, (channels, *kernel, inputs))
    bias = rng.integers(-30_000, 30_000, channels)
    spread = 127 * 74 * np.sqrt(weight[0].size)
    rule = None
    if out != "int32":
        multiplier = rng.integers(2**13, 2**14, channels) * 2 + 1
        shift = np.rint(np.log2(multiplier * spread / CLAMPS[out][1])).astype(int) + rng.integers(-1, 2)
        limits = CLAMPS[out] if rng.random() < 0.7 else (max(CLAMPS[out][0], -20), 31)
        rule = Requantize(multiplier, np.maximum(shift, 1), *limits)
    op = Conv2d(
        name=name, inputs=(x,), output=f"{name}_y", weight=Weight(weight), bias=bias, requantize=rule,
        groups=channels if depthwise else 1, **window,
    )  # fmt: skip
    scale = 1.0 if rule else np.ones(channels)
    values[op.output] = TensorType(output_shape(op, values[x].shape), out, scale)
    return op


@settings(max_examples=150, derandomize=True, deadline=None)
@given(data=st.data())
def test_convolutions_of_every_shape(data):
    draw, rng = data.draw, np.random.default_rng(data.draw(st.integers(0, 2**31)))
    depthwise = draw(st.booleans())
    kernel = draw(st.sampled_from([(1, 1), (3, 3), (5, 5), (2, 3), (7, 1), (6, 6)]))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 3)]))
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    least = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    side = [max(draw(st.integers(1, 23)), size) for size in least]
    inputs = draw(st.sampled_from([1, 3, 4, 6, 16, 24, 65, 130]))
    channels = inputs if depthwise else draw(st.sampled_from([1, 5, 16, 33, 48, 64, 80, 96, 113, 200]))
    values = {"x": TensorType((*side, inputs), draw(st.sampled_from(["int8", "uint8"])), 1.0)}
    window = {"stride": draw(st.sampled_from([(1, 1), (2, 2), (1, 2)])), "padding": padding, "dilation": dilation}
    out = draw(st.sampled_from(["int8", "uint8"] if depthwise else ["int8", "uint8", "int16", "int32"]))
    op = convolution(rng, "conv", "x", values, channels=channels, out=out, depthwise=depthwise, kernel=kernel, **window)
    program = program_of([op], values, op.output)
    assert Executor(program, "native").kernels["conv"].startswith("native")
    equal(program, random_inputs(program, 0, batch=draw(st.sampled_from([1, 2]))))


@settings(max_examples=60, derandomize=True, deadline=None)
@given(data=st.data())
def test_additions_inside_convolutions(data):
    """The first or the second input comes from a convolution, or both; a second reader keeps the value outside."""
    draw, rng = data.draw, np.random.default_rng(data.draw(st.integers(0, 2**31)))
    channels = draw(st.sampled_from([3, 16, 40, 64, 100]))
    types = st.sampled_from(["int8", "uint8"])
    values = {"x": TensorType((draw(st.integers(1, 9)), draw(st.integers(1, 9)), channels), draw(types), 1.0)}
    ops = [convolution(rng, name, "x", values, channels=channels, out=draw(types)) for name in "ab"]
    pairs = [("a_y", "x"), ("x", "b_y"), ("a_y", "b_y"), ("b_y", "a_y"), ("a_y", "a_y")]
    kind, pair, out = draw(st.sampled_from([Add, Sub])), draw(st.sampled_from(pairs)), draw(types)
    rule = Requantize([1], [20], *CLAMPS[out])
    multipliers = tuple(int(m) for m in rng.integers(2**18, 2**20, 2))
    values["sum"] = TensorType(values["x"].shape, out, 1.0)
    ops.append(kind(name="sum", inputs=pair, output="sum", multipliers=multipliers, requantize=rule))
    ops.append(convolution(rng, "last", draw(st.sampled_from(["sum", "a_y"])), values, channels=7, out="int8"))
    program = replace(program_of(ops, values, "last_y"))
    outputs = (*program.outputs, Port("sum", "sum", out, 1.0))
    equal(replace(program, outputs=outputs), random_inputs(program, 0, batch=2))


@settings(max_examples=40, derandomize=True, deadline=None)
@given(seed=st.integers(0, 2**31), batch=st.sampled_from([1, 3]), march=st.sampled_from(SIGNED_MARCHES))
def test_random_programs_of_all_operators(seed, batch, march):
    program = random_program(seed, march=march)
    equal(program, random_inputs(program, seed, batch))


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("seed", range(4))
def test_all_thresholds_of_a_proven_layer_are_rounded_as_defined(dtype, seed):
    program, image = threshold_program(dtype, seed)
    assert Executor(program, "native").kernels == {"thresholds": "native"}
    equal(program, {"img": image})


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("shift", range(10))
def test_ties_of_a_march_that_shifts_go_up(dtype, shift):
    program, image = threshold_program(dtype, march="tidl", shift=shift)
    assert Executor(program, "native").kernels == {"thresholds": "native"}
    equal(program, {"img": image})


@pytest.mark.parametrize("constants", [(4, 0), (4096, 0), (1, 30), (1, 31)])
def test_shifts_to_the_left_and_the_longest_ones(constants):
    """What a shift of 32-bit integers is not, or only just."""
    program, image = threshold_program("int8", march="tidl", shift=3)
    rule = Requantize(*constants, -128, 127, bias_bits=16)
    equal(replace(program, ops=(replace(program.ops[0], requantize=rule),)), {"img": image})


def test_a_channel_without_a_proof_is_rounded_in_64_bits():
    program, image = threshold_program("int8")
    op = program.ops[0]
    reach = {"low": -300_000, "high": 300_000}
    refused = next(m for m in range(20001, 2**15, 2) if not agrees(RULE, [m], [26], (-128, 127), **reach)[0])
    rule = Requantize(np.full(8, refused), np.full(8, 26), -128, 127)
    stubborn = replace(program, ops=(replace(op, requantize=rule, bias=op.bias * 0),))
    assert Executor(stubborn, "native").kernels == {"thresholds": "native, 64-bit rounding"}
    equal(stubborn, {"img": image})


@pytest.mark.parametrize("stride", [(2**32 - 1, 1), (2**32, 2), (1, 2**40)])
@pytest.mark.parametrize("pooled", [False, True])
def test_strides_far_beyond_the_picture(stride, pooled):
    values = {"x": TensorType((5, 6, 16), "int8", 1.0)}
    if pooled:
        op = MaxPool2d(name="far", inputs=("x",), output="y", kernel=(3, 3), stride=stride, padding=(1, 1))
        values["y"] = TensorType(output_shape(op, values["x"].shape), "int8", 1.0)
    else:
        rng = np.random.default_rng(0)
        op = convolution(rng, "far", "x", values, channels=16, out="int8", kernel=(3, 3), stride=stride)
    program = program_of([op], values, op.output)
    equal(program, random_inputs(program, 0))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_does_not_wait_for_threads_that_it_lacks():
    """In a process of its own, so that neither the threads of torch nor those of pytest are forked."""
    script = """
import os, signal, sys, torch
from hatlite.executor import Executor
from hatlite.executor.self_test import threshold_program
torch.set_num_threads(2)
program, image = threshold_program("int8")
executor, inputs = Executor(program, "native"), {"img": image}
expected = executor.run(inputs)
child = os.fork()
if not child:
    signal.alarm(20)  # ends a process that waits
    got = executor.run(inputs)
    os._exit(int(any((got[name] != expected[name]).any() for name in expected)))
sys.exit(os.waitpid(child, 0)[1] != 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_batch_sizes_take_turns_and_runs_repeat():
    program = random_program(5)
    executor, reference = Executor(program, "native"), Executor(program, "reference")
    for batch in (1, 4, 1, 2, 4):
        inputs = random_inputs(program, batch, batch=batch)
        expected, got = reference.run(inputs), executor.run(inputs)
        assert all(np.array_equal(expected[name], got[name]) for name in expected)
