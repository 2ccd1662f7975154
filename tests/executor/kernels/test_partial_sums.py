"""Long sums in parts: every part is exact, together they are the convolution, and engines take no more than needed."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.executor import Executor
from hatlite.executor.kernels import float32, onednn
from hatlite.executor.kernels.partial_sums import combine, parts_of
from hatlite.ops.integer import reference
from hatlite.program import Conv2d, IntProgram, Linear, Port, Requantize, TensorType, Weight, output_shape
from hatlite.qparams import int_range

LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}


def convolution(seed, channels, groups=1, kernel=1, loud=False, **fields):
    rng = np.random.default_rng(seed)
    shape = (4 * groups, kernel, kernel, channels // groups)
    weight = rng.choice([-127, 127], shape) if loud else rng.integers(-127, 128, shape)
    weight[0] = 127 if loud else 0
    bias = rng.integers(-(2**20), 2**20, len(weight))
    rule = Requantize(np.full(len(weight), 16387), np.full(len(weight), 30), -32768, 32767)
    given = {"requantize": rule, "groups": groups, "padding": (kernel // 2, kernel // 2), **fields}
    return Conv2d(name="c", inputs=("x",), output="y", weight=Weight(weight.astype(np.int8)), bias=bias, **given)


def wide_convolution(seed, channels, groups=1, kernel=3, shift=20, **fields):
    """16-bit weights, both ends of each byte among them, on the march that has them."""
    ends = np.array([-(2**15), 2**15 - 1, 32640, 32639, 127, 128, -128, -129, 0], np.int16)
    rng = np.random.default_rng(seed)
    shape = (4 * groups, kernel, kernel, channels // groups)
    weight = np.where(rng.random(shape) < 0.3, rng.choice(ends, shape), rng.integers(-(2**15), 2**15, shape))
    rule = Requantize([1], [shift], -32768, 32767)
    op = convolution(seed, channels, groups, kernel, requantize=rule, **fields)
    return dataclasses.replace(op, weight=Weight(weight.astype(np.int16)))


def program_of(op, x_dtype, shape):
    y_dtype = "int16" if op.requantize else "int32"
    types = {"x": TensorType(shape, x_dtype, 0.1), "y": TensorType(output_shape(op, shape), y_dtype, 0.1)}
    ports = (Port("img", "x", x_dtype, 0.1),), (Port("out", "y", y_dtype, 0.1),)
    march = "tidl" if op.weight.dtype == "int16" else "bayes-sim"
    types = {name: dataclasses.replace(kind, scale=0.125) for name, kind in types.items()}
    ports = tuple((dataclasses.replace(port, scale=0.125),) for (port,) in ports)
    return IntProgram("p", march, *ports, (op,), types)


def equal(program, images):
    expected = Executor(program, "reference").run({"img": images})["out"]
    for engine in ("float32", "onednn"):
        np.testing.assert_array_equal(Executor(program, engine).run({"img": images})["out"], expected, err_msg=engine)


def images_of(dtype, shape, seed):
    """Four images: the largest values, the smallest, both, and any."""
    low, high = int_range(dtype)
    rng = np.random.default_rng(seed)
    ends = [
        np.full(shape, high),
        np.full(shape, low),
        rng.choice([low, high], shape),
        rng.integers(low, high + 1, shape),
    ]
    return np.stack(ends).astype(dtype)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**31),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([1, 3]),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.tuples(st.integers(1, 2), st.integers(1, 3)),
)
def test_every_int16_convolution_equals_the_reference(seed, groups, kernel, stride, dilation):
    op = convolution(seed, 8, groups, kernel, stride=stride, dilation=dilation, padding=(kernel, 1))
    program = program_of(op, "int16", (8, 9, 8))
    assert Executor(program, "onednn").kernels == {"c": "int8 products" if kernel > 1 else "float32"}
    equal(program, images_of("int16", (8, 9, 8), seed))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1, 2, 4]), st.sampled_from([1, 3]), st.sampled_from(list(LIMITS)))
def test_every_convolution_of_16_bit_weights_equals_the_reference(seed, groups, kernel, dtype):
    program = program_of(wide_convolution(seed, 8, groups, kernel), dtype, (5, 6, 8))
    assert Executor(program, "onednn").kernels == {"c": "float32"}
    equal(program, images_of(dtype, (5, 6, 8), seed))


def test_16_bit_weights_are_taken_apart_like_16_bit_inputs():
    any_size = {"pointwise_from": 0}
    factors = {
        dtype: [(part.factor, part.worth) for part in parts_of(wide_convolution(0, 8), dtype, **any_size)]
        for dtype in ("uint8", "int16")
    }
    assert factors["uint8"] == [(1, 256), (1, 1)]
    assert factors["int16"] == [(256, 256), (256, 1), (1, 256), (1, 1)]
    assert parts_of(wide_convolution(0, 8, kernel=1), "uint8", pointwise_from=np.inf) is None
    equal(program_of(wide_convolution(1, 200, shift=26), "int16", (3, 2, 200)), images_of("int16", (3, 2, 200), 2))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
@pytest.mark.parametrize(("channels", "groups", "kernel"), [(600, 1, 1), (1600, 1, 1), (1200, 2, 1), (120, 1, 3)])
def test_long_sums_equal_the_reference(dtype, channels, groups, kernel):
    op = convolution(1, channels, groups, kernel, loud=True)
    equal(program_of(op, dtype, (3, 2, channels)), images_of(dtype, (3, 2, channels), 2))


def test_a_linear_layer_and_a_raw_result_with_int16_inputs():
    weight = np.random.default_rng(0).integers(-127, 128, (3, 1, 1, 12)).astype(np.int8)
    for rule, lowest in ((Requantize([16387], [28], 0, 255), None), (None, 0), (None, None)):
        fields = {"bias": [5, -7, 0], "requantize": rule, "activation_min": lowest}
        op = Linear(name="l", inputs=("x",), output="y", weight=Weight(weight), **fields)
        program = program_of(op, "int16", (1, 1, 12))
        if rule is not None:
            types = {**program.values, "y": TensorType((1, 1, 3), "uint8", 0.125)}
            outputs = (Port("out", "y", "uint8", 0.125),)
            program = IntProgram("p", "bayes-sim", program.inputs, outputs, (op,), types)
        equal(program, images_of("int16", (1, 1, 12), 3))


def test_the_fewest_groups_of_channels_are_taken():
    any_size = {"pointwise_from": 0}
    assert [len(parts_of(convolution(0, n, loud=True), "uint8", **any_size)) for n in (400, 600, 1600)] == [1, 2, 4]
    assert [part.factor for part in parts_of(convolution(0, 8), "int16", **any_size)] == [256, 1]
    assert len(parts_of(convolution(0, 600, loud=True), "int16", **any_size)) == 4
    assert parts_of(convolution(0, 18 * 540, loud=True), "uint8", **any_size) is None  # nineteen groups
    assert parts_of(convolution(0, 1200, 2, loud=True), "uint8", **any_size) is None  # grouped ones stay whole
    assert parts_of(convolution(0, 8), "int16", pointwise_from=5) is None
    assert parts_of(convolution(0, 8, groups=8), "int16", pointwise_from=np.inf) is not None


def test_a_large_pointwise_layer_takes_its_inputs_apart():
    for groups, kernel in ((2, "float32"), (32, "int8 products")):  # 8 and 128 output channels
        program = program_of(convolution(0, 64, groups), "int16", (3, 4, 64))
        assert Executor(program, "onednn").kernels == {"c": kernel}
        equal(program, images_of("int16", (3, 4, 64), 1))


@given(st.integers(0, 2**31), st.integers(1, 700), st.sampled_from(list(LIMITS)), st.booleans())
def test_parts_are_exact_and_make_the_whole(seed, channels, dtype, wide):
    op = wide_convolution(seed, channels, kernel=1) if wide else convolution(seed, channels, loud=seed % 2 == 0)
    parts = parts_of(op, dtype, pointwise_from=0)
    x = images_of(dtype, (1, 2, channels), seed).astype(np.int64)
    read = {dtype: x, **({"int8": x >> 8, "uint8": x & 255} if dtype == "int16" else {})}
    sums = [reference.conv2d(read[p.dtype][..., p.channels], p.weight, p.bias) for p in parts]
    assert all(np.abs(total).max() < 2**24 for total in sums)
    pairs = zip(parts, sums, strict=True)
    whole = combine([torch.from_numpy(p.factor * p.worth * total).float() for p, total in pairs])
    np.testing.assert_array_equal(whole.numpy(), reference.conv2d(x, op.weight.values, op.bias))


@pytest.mark.parametrize("engine", [float32, onednn])
def test_what_takes_too_many_parts_is_still_exact(engine, monkeypatch):
    op = convolution(1, 600, loud=True)
    program = program_of(op, "uint8", (3, 2, 600))
    monkeypatch.setattr(engine, "parts_of", lambda op, dtype, **limits: None)
    if engine is onednn:
        assert Executor(program, "onednn").kernels == {"c": "float32"}
    equal(program, images_of("uint8", (3, 2, 600), 2))
