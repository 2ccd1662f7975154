"""The exported file computes in ONNX Runtime what the executor computes, at 0 differing integers."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from networks import SIGNED_MARCHES
from onnx_runs import LEVELS, everywhere, require_equal, run, with_all_values
from operator_networks import calibrated, conv, lowered
from single_op_programs import program as one_op
from torch import nn

from hatlite.errors import ProgramError
from hatlite.executor import Executor, dequantize_outputs
from hatlite.export import exact_outputs, integer_nodes, to_onnx
from hatlite.export.golden import RULES
from hatlite.export.onnx_model import FORMS
from hatlite.ops.integer.fixed_point import dequantize
from hatlite.program import (
    OPERATORS,
    Add,
    Conv2d,
    IntProgram,
    Linear,
    Lut,
    MaxPool2d,
    Pad,
    Port,
    Requantize,
    Rescale,
    TensorType,
    Weight,
)
from hatlite.program.samples import random_inputs, random_program
from hatlite.qparams import int_range
from hatlite.quantization import QConfig

MOVES = ("max_pool2d", "resize_nearest", "concat", "pad", "lut", "slice")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_golden_equals_the_executor_on_the_proof_network(proof_programs, dtype, level):
    program = proof_programs[dtype]
    model = to_onnx(program)
    assert {port.dtype for port in program.outputs} == {"int8", "int16", "int32"}
    for batch in (1, 3):
        inputs = random_inputs(program, batch, batch)
        require_equal(run(model, inputs, level), Executor(program).run(inputs))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 12), st.sampled_from(SIGNED_MARCHES))
@example(13279, 1, 11, "bayes-sim")  # channels of a single pixel become the pixels of a sum
def test_all_engines_equal_the_definition_value_by_value(seed, batch, length, march):
    """Programs drawn from all operators: the reference, the other engines, the golden form optimised and not."""
    program = random_program(seed, length=length, march=march)
    found = everywhere(program, random_inputs(program, seed, batch))
    expected = found.pop("reference")
    for values in found.values():
        require_equal(values, expected)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 12),
    st.sampled_from([(), MOVES, (*MOVES, "conv2d")]),
    st.sampled_from(SIGNED_MARCHES),
)
def test_optimisers_that_see_no_value_but_the_outputs_change_nothing(seed, length, kinds, march):
    """What is an output cannot be fused away, so a program whose values all are is another one."""
    program = random_program(seed, length=length, kinds=kinds, march=march)
    inputs = random_inputs(program, seed, 2)
    expected = Executor(program, "reference").run(inputs)
    for level in LEVELS:
        require_equal(run(to_onnx(program), inputs, level), expected)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 8),
    st.sampled_from([(), MOVES, (*MOVES, "conv2d")]),
    st.sampled_from(SIGNED_MARCHES),
)
def test_qdq_keeps_its_promise_on_drawn_programs(seed, length, kinds, march):
    """Of all values, and where values only move also when the last one alone is asked for."""
    program = random_program(seed, length=length, kinds=kinds, march=march)
    inputs = random_inputs(program, seed, 2)
    for asked in (with_all_values(program), program):
        promised = exact_outputs(asked, "qdq")
        got, expected = run(to_onnx(asked, "qdq"), inputs), Executor(asked, "reference").run(inputs)
        require_equal({name: got[name] for name in promised}, {name: expected[name] for name in promised})


def test_qdq_promises_what_moves_and_tables():
    seen = set()
    for seed in range(10):
        program = with_all_values(random_program(seed, kinds=(*MOVES, "sub", "mul")))
        promised = {name.removeprefix("out ") for name in exact_outputs(program, "qdq")}
        assert promised >= {"img"}
        for op in program.ops:
            moved = op.kind in MOVES and set(op.inputs) <= promised
            if op.kind in (*MOVES, "sub", "mul"):
                assert moved == (op.output in promised)
            seen |= {op.kind} if moved else set()
    assert seen == set(MOVES)


@pytest.mark.parametrize("form", FORMS)
def test_every_operator_has_a_row(form):
    without = {Lut} if form == "clip" else set()  # a table has lost the function that it was made of
    assert set(FORMS[form].RULES) == set(OPERATORS.values()) - without


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16"])
def test_zeros_around_a_picture_take_part_in_a_max_pool(form, dtype):
    """ONNX Runtime merges a plain Pad of zeros into the pool behind it, whose own padding never wins."""
    pad = Pad(name="p", inputs=("x",), output="z", edges=(2, 0, 1, 3))
    pool = MaxPool2d(name="m", inputs=("z",), output="y", kernel=(2, 2), stride=(1, 1))
    values = {n: TensorType(s, dtype, 0.5) for n, s in {"x": (4, 4, 3), "z": (6, 8, 3), "y": (5, 7, 3)}.items()}
    ports = [Port(name, name, dtype, 0.5) for name in ("x", "y")]
    march = "tidl" if form == "clip" else "bayes-sim"
    program = IntProgram("net", march, (ports[0],), (ports[1],), (pad, pool), values)
    inputs = {"x": np.full((1, 4, 4, 3), int_range(dtype)[0], dtype)}
    expected = Executor(program, "reference").run(inputs)
    assert exact_outputs(program, form) == {"y"}
    for level in LEVELS if form == "golden" else ["default"]:
        require_equal(run(to_onnx(program, form), inputs, level), expected)


def test_golden_uses_qlinearconv_where_it_is_proven(proof_programs):
    program = proof_programs["int8"]
    nodes = [node.op_type for node in to_onnx(program).graph.node]
    byte_results = [
        op
        for op in program.ops
        if op.kind in ("conv2d", "resize_bilinear2x", "rescale")
        and program.values[op.output].dtype in ("int8", "uint8")
    ]
    assert nodes.count("QLinearConv") == len(byte_results) == 29


def test_qdq_keeps_its_promise(proof_programs):
    """Up to the first addition: convolutions, a depthwise one, pools and resizes."""
    program = with_all_values(proof_programs["int8"])
    first = next(index for index, op in enumerate(program.ops) if isinstance(op, Add))
    names = ["img", *(op.output for op in program.ops[:first])]
    ports = tuple(port for port in program.outputs if port.value in [program.inputs[0].value, *names])
    values = {port.value: program.values[port.value] for port in ports}
    program = dataclasses.replace(program, outputs=ports, ops=program.ops[:first], values=values)
    assert exact_outputs(program, "qdq") == {port.name for port in ports}
    inputs = random_inputs(program, 5, 3)
    require_equal(run(to_onnx(program, "qdq"), inputs), Executor(program).run(inputs))


class Decoder(nn.Module):
    """What a transposed convolution is made of, and a part of its channels."""

    def __init__(self):
        super().__init__()
        self.down, self.up = conv(3, 6, nn.ReLU(), nn.MaxPool2d(2)), nn.ConvTranspose2d(3, 4, 4, (2, 3), 1, (0, 1))
        self.norm, self.relu = nn.BatchNorm2d(4), nn.ReLU()

    def forward(self, x):
        first, second = self.down(x).chunk(2, dim=1)
        return {"first": self.relu(self.norm(self.up(first))), "second": self.up(second)[..., 1::2]}


@pytest.mark.parametrize("level", LEVELS)
def test_a_transposed_convolution_is_exact_in_both_forms(level):
    program = lowered(calibrated(Decoder))
    inputs = random_inputs(program, 3, 2)
    expected = Executor(program).run(inputs)
    golden = to_onnx(program)
    assert [node.op_type for node in golden.graph.node].count("QLinearConv") == 3
    require_equal(run(golden, inputs, level), expected)
    assert exact_outputs(program, "qdq") == set(expected)
    require_equal(run(to_onnx(program, "qdq"), inputs), expected)


@pytest.mark.parametrize(("dtype", "worst"), [("int8", 0.01), ("int16", 0.01)])
def test_qdq_stays_close_where_it_promises_nothing(proof_programs, dtype, worst):
    program = proof_programs[dtype]
    inputs = random_inputs(program, 6, 2)
    got = run(to_onnx(program, "qdq", real=True), {"img": dequantize(inputs["img"], 1 / 128)})
    expected = dequantize_outputs(program, Executor(program).run(inputs))
    for name, real in expected.items():
        assert np.abs(got[name].transpose(0, 3, 1, 2) - real).max() <= worst * np.abs(real).max()


def test_qdq_stays_close_with_16_bit_weights():
    qconfig = QConfig(weight=dict(dtype="int16"), march="tidl")
    program = lowered(calibrated(lambda: nn.Sequential(conv(3, 4, nn.ReLU()), conv(4, 4)), 0, qconfig))
    assert exact_outputs(program, "qdq") == frozenset()
    inputs = random_inputs(program, 6, 2)
    (got,) = run(to_onnx(program, "qdq"), inputs).values()
    (expected,) = Executor(program).run(inputs).values()
    assert np.abs(got.astype(int) - expected).max() <= 1


def test_real_ends_are_those_around_an_executor(proof_programs):
    program = proof_programs["int8"]
    rng = np.random.default_rng(0)
    pixels = rng.uniform(-1.2, 1.2, (2, 36, 52, 3)).astype(np.float32)  # off the grid and beyond it
    pixels[0, 0, :4, 0] = [0.5 / 128, -0.5 / 128, np.inf, -np.inf]  # halves go up
    integers = np.clip(np.floor(pixels.astype(np.float64) * 128 + 0.5), -128, 127).astype(np.int8)
    assert integers[0, 0, :4, 0].tolist() == [1, 0, 127, -128]
    expected = dequantize_outputs(program, Executor(program).run({"img": integers}))
    got = run(to_onnx(program, real=True), {"img": pixels})
    require_equal({name: array.transpose(0, 3, 1, 2) for name, array in got.items()}, expected)


def test_nodes_and_metadata_say_where_they_come_from(proof_programs):
    program = proof_programs["int8"]
    model = to_onnx(program)
    stem = next(node for node in model.graph.node if node.op_type == "QLinearConv")
    assert stem.name == f"{program.ops[0].name}/QLinearConv"
    assert stem.doc_string.startswith("backbone.stem tests/networks.py:")
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert (notes["task"], notes["march"], notes["form"]) == ("proof", "bayes-sim", "golden")
    assert json.loads(notes["classes"]) == ["a", "b"]
    assert json.loads(notes["strides"])["cls_s4"] == 4
    assert json.loads(notes["scales"])["img"] == 1 / 128
    assert len(json.loads(notes["scales"])["box_s4"]) == 4
    assert "hatlite" in notes
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"


def test_an_unknown_form():
    with pytest.raises(ProgramError, match=r"ONNX form is 'golde'; expected one of golden, qdq, clip\.(.|\n)*'golden'"):
        to_onnx(random_program(0), "golde")


def test_an_input_and_an_output_of_one_name():
    program = random_program(0)
    outputs = (dataclasses.replace(program.outputs[0], name="img"),)
    with pytest.raises(ProgramError, match="random: 'img' is an input and an output; ONNX needs two names"):
        to_onnx(dataclasses.replace(program, outputs=outputs))


def test_an_operator_without_a_form(monkeypatch):
    op = Rescale(name="r", inputs=("x",), output="y", requantize=Requantize([16385], [20], -128, 127))
    monkeypatch.delitem(RULES, Rescale)
    with pytest.raises(ProgramError, match=r"rescale 'r' \(source unknown\) has no ONNX form; there is one for Conv2d"):
        to_onnx(one_op(op, (8, 8, 4), (8, 8, 4)))


@pytest.mark.parametrize("level", LEVELS)
def test_low_bytes_that_exceed_an_int32_are_summed_in_parts(level):
    inputs = 2 * 2**31 // (255 * 127) + 500  # 133,123
    weight = np.full((2, 1, 1, inputs), 127, np.int8)
    weight[1, ..., ::2] = -127
    rule = Requantize([16385, 32767], [46, 40], -(2**15), 2**15 - 1)
    op = Linear(name="l", inputs=("x",), output="y", weight=Weight(weight), bias=[-5, 7], requantize=rule)
    program = one_op(op, (2, 2, inputs), (2, 2, 2), "int16")
    port = dataclasses.replace(program.outputs[0], dtype="int16")
    values = program.values | {"y": dataclasses.replace(program.values["y"], dtype="int16")}
    program = dataclasses.replace(program, outputs=(port,), values=values)
    x = np.random.default_rng(0).integers(-(2**15), 2**15, (1, 2, 2, inputs)).astype(np.int16)
    x[0, 0, 0], x[0, 0, 1], x[0, 1, 0, ::2], x[0, 1, 0, 1::2] = 2**15 - 1, -(2**15), -(2**15), 2**15 - 1
    model = to_onnx(program)
    assert [node.op_type for node in model.graph.node].count("ConvInteger") == 2 * 3
    expected = Executor(program, "reference").run({"x": x})
    assert np.abs(expected["out"]).max() > 2**14
    require_equal(run(model, {"x": x}, level), expected)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(500, 5000))
def test_sums_in_parts_are_the_sums(seed, largest):
    """Convolutions of every window and grouping, on int16 values, with a limit that splits them."""
    march = "tidl" if seed % 2 else "bayes-sim"  # with and without 16-bit weights
    program = with_all_values(random_program(seed, kinds=("conv2d", "linear", "rescale"), march=march))
    inputs = random_inputs(program, seed, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(integer_nodes, "LARGEST_SUM", largest)
        model = to_onnx(program)
    require_equal(run(model, inputs), Executor(program, "reference").run(inputs))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("x_dtype", ["int8", "uint8", "int16"])
def test_16_bit_weights_are_two_bytes(level, x_dtype):
    ends = np.array([-(2**15), 2**15 - 1, -1, 0, 255, 256, -256, -257, 127, 128], np.int16)
    weight = np.random.default_rng(0).choice(ends, (4, 3, 3, 40))
    weight[0], weight[1] = -(2**15), 2**15 - 1
    rule = Requantize([1], [24], -(2**15), 2**15 - 1)
    bias = np.array([-5, 7, -(2**31), 2**31 - 1])
    op = Conv2d(name="c", inputs=("x",), output="y", weight=Weight(weight), bias=bias, requantize=rule, padding=(1, 1))
    values = {"x": TensorType((3, 3, 40), x_dtype, 1.0), "y": TensorType((3, 3, 4), "int16", 1.0)}
    ports = (Port("x", "x", x_dtype, 1.0),), (Port("out", "y", "int16", 1.0),)
    program = IntProgram("wide", "tidl", *ports, (op,), values)
    model = to_onnx(program)
    assert [node.op_type for node in model.graph.node].count("ConvInteger") == (4 if x_dtype == "int16" else 2)
    inputs = random_inputs(program, 0, 3)
    inputs["x"][1], inputs["x"][2] = np.iinfo(x_dtype).min, np.iinfo(x_dtype).max
    require_equal(run(model, inputs, level), Executor(program, "reference").run(inputs))


def test_no_part_can_overflow():
    weight = np.random.default_rng(0).integers(-128, 128, (3, 2, 600, 600)).astype(np.int8)
    weight[1] = -128
    parts = integer_nodes._parts(weight)
    assert (sum(part.astype(int) for part in parts) == weight).all()
    assert max(np.abs(part.astype(np.int64)).sum(axis=(1, 2, 3)).max() for part in parts) * 255 < 2**31
    assert len(parts) == 11  # 92,160,000 in the second channel, at most 8,421,376 in each part
    low = np.full((1, 2, 300, 300), 255, np.uint8)
    parts = integer_nodes._parts(low)
    assert (sum(part.astype(int) for part in parts) == low).all() and len(parts) == 6
    assert max(int(part.astype(np.int64).sum()) for part in parts) * 255 < 2**31
