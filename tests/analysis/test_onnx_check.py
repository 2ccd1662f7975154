"""The check finds what differs, and says what it cannot check."""

import dataclasses

import numpy as np
import onnx
import pytest
from networks import SIGNED_MARCHES
from onnx import numpy_helper
from operator_networks import calibrated, conv, lowered
from single_op_programs import program as one_op
from torch import nn

from hatlite.analysis.onnx_check import LARGEST_ERROR, OnnxOutput, OnnxReport, verify_onnx
from hatlite.analysis.onnx_probe import ASKED, FULL_SCALE, WIDE_FULL_SCALE, make_probe
from hatlite.errors import ProgramError
from hatlite.executor import Executor
from hatlite.export import golden, integer_nodes, qdq, to_onnx
from hatlite.export.proof import as_convolution, certified, is_convolution
from hatlite.models.backbones.mbconv import MBConv
from hatlite.nn import Add as Sum
from hatlite.nn import Concat
from hatlite.nn import Sub as Difference
from hatlite.program import Add, Lut, Mul, Requantize, Sub, TensorType, verify
from hatlite.program.samples import random_inputs, random_program
from hatlite.quantization import QConfig


def drawn():
    """A program with a QLinearConv, a product of bytes and a table; other operators to come do not change the draw."""
    return random_program(0, kinds=("conv2d", "mul", "lut", "pad"))


def changed(model, operator, index, change):
    """Apply `change` to a constant of the first node of a kind."""
    node = next(node for node in model.graph.node if node.op_type == operator)
    held = next(item for item in model.graph.initializer if item.name == node.input[index])
    held.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(held)), held.name))
    return model


@pytest.mark.parametrize("real", [False, True])
def test_a_golden_file_is_equal(tmp_path, real):
    program = drawn()
    path = tmp_path / "model.onnx"
    onnx.save(to_onnx(program, real=real), path)
    report = verify_onnx(path, program, [random_inputs(program, 1, 1), random_inputs(program, 2, 3)])
    assert report.passed
    assert {(row.name, row.options) for row in report.outputs[:4]} == {
        (name, options) for name in ("features", "raw") for options in ("default", "unoptimised")
    }
    pixels = 4 * sum(np.prod(program.values[port.value].shape) for port in program.outputs)
    assert sum(row.elements for row in report.outputs[:4]) == 2 * pixels
    assert "are equal: " in report.summary() and ", 0 differ." in report.summary()
    last = report.table().splitlines()[-2 * len(ASKED) :]
    assert [line.split(" of ")[0] + " of" for line in sorted(last)] == sorted([*ASKED, *ASKED])
    assert all(line.split()[-5:-4] == ["yes"] for line in last)
    assert report.to_dict()["passed"] is True


@pytest.mark.parametrize("real", [False, True])
def test_one_wrong_bias_is_found(real):
    program = drawn()
    model = changed(to_onnx(program, real=real), "QLinearConv", 8, lambda bias: bias + 40000)
    report = verify_onnx(model, program, [random_inputs(program, 1, 1)])
    assert not report.passed
    assert "are NOT equal" in report.summary()
    worst = max(row.max_lsb for row in report.outputs)
    assert worst > 0 and f"{worst:,}" in report.table()


def test_the_portable_form_is_checked_with_the_options_that_fuse_it():
    program = drawn()
    report = verify_onnx(to_onnx(program, "qdq"), program, [random_inputs(program, 1, 1)])
    assert {row.options for row in report.outputs} == {"default"}
    assert [row.promised for row in report.outputs[:2]] == [False, False]
    assert report.passed and "where the qdq form promises nothing" in report.summary()


ROW = OnnxOutput("a", "", "default", False, 100, 7, 3, rms_lsb=1.5, error=0.125)


@pytest.mark.parametrize(
    ("changes", "passed", "said"),
    [
        ({}, True, "are near: their RMS error is up to 12.50% of the signal, in a (20% is allowed)."),
        (
            {"error": 0.201},
            False,
            "are NOT near: their RMS error is up to 20.10% of the signal, in a (20% is allowed).",
        ),
        ({"error": 0.9, "rms_lsb": 0.9}, True, "are near: their RMS error is up to 90.00% of the signal, in a (20%"),
        ({"error": 0.9, "promised": True}, False, "are NOT equal: 100 integers compared, 7 differ; where the clip"),
    ],
)
def test_where_equality_is_not_promised_the_error_has_a_limit(changes, passed, said):
    asked = OnnxOutput("b", "pairs of", "default", False, 50, 1, 9, error=5.0)
    report = OnnxReport("clip", "1.31", (dataclasses.replace(ROW, **changes), asked))
    assert report.passed is passed and report.to_dict()["passed"] is passed
    assert said in report.summary()


def test_a_form_that_promises_nothing_says_where_it_is_equal_still():
    row = dataclasses.replace(ROW, differing=0, max_lsb=0, rms_lsb=0.0, error=0.0)
    assert OnnxReport("clip", "1.31", (row,)).summary().endswith("promises no equal integers; 0 of 100 differ.")


class Plain(nn.Module):
    """Convolutions and a sum, which every form has."""

    def __init__(self):
        super().__init__()
        self.stem, self.other, self.last, self.add = conv(3, 8, nn.ReLU()), conv(3, 8), conv(8, 3), Sum()

    def forward(self, x):
        a = self.add(self.stem(x), self.other(x))
        return {"features": a, "y": self.last(a)}


def portable(form):
    """A network of the march of powers of two, two inputs, and its file in a form that promises nothing."""
    program = lowered(calibrated(Plain, qconfig=QConfig(march="tidl")))
    return program, [random_inputs(program, 0, 2)], to_onnx(program, form)


@pytest.mark.parametrize("form", ["qdq", "clip"])
def test_a_published_form_is_near_and_its_error_is_told(form):
    program, inputs, model = portable(form)
    report = verify_onnx(model, program, inputs)
    rows = [row for row in report.outputs if not row.asked and not row.promised]
    assert report.passed and rows and any(row.differing for row in rows)
    worst = max(row.error for row in rows)
    assert 0 < worst < LARGEST_ERROR and f"{worst:.3%}" in report.table() and "and are near" in report.summary()


@pytest.mark.parametrize("form", ["qdq", "clip"])
@pytest.mark.parametrize("damage", ["weights", "output"])
def test_a_published_form_that_is_destroyed_fails(form, damage):
    program, inputs, model = portable(form)
    weights = next(node for node in model.graph.node if node.op_type == "Conv").input[1]
    made_by = {name: node for node in model.graph.node for name in node.output}
    held = made_by[weights].input[0] if weights in made_by else weights
    if damage == "weights":
        tensor = next(item for item in model.graph.initializer if item.name == held)
        tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), held))
    else:
        output = model.graph.output[-1].name
        node = made_by[output]
        node.output[list(node.output).index(output)] = "right"
        model.graph.node.append(onnx.helper.make_node("Neg", ["right"], [output]))
    report = verify_onnx(model, program, inputs)
    assert not report.passed and "NOT near" in report.summary()


def test_without_inputs_the_operators_alone_are_asked():
    program = drawn()
    report = verify_onnx(to_onnx(program), program)
    assert report.passed and sum(row.elements for row in report.outputs[:4]) == 0
    assert sum(row.elements for row in report.outputs) > 2 * 65536 + 500


def answers(probe):
    return Executor(verify(probe.program), "reference").run(probe.inputs)


def test_thresholds_ask_for_both_sides_of_every_level():
    program = drawn()
    probe = make_probe(program)
    asked = [op for op in program.ops if is_convolution(op, x := program.values[op.inputs[0]])
             and certified(as_convolution(op, x), x, program.values[op.output])]  # fmt: skip
    assert [name for name, what in probe.asked.items() if what == "thresholds of"] == [
        *(op.name for op in asked),
        *FULL_SCALE,
    ]
    results = answers(probe)
    for question in probe.program.ops:
        if question.name in [op.name for op in asked]:
            rule, found = question.requantize, results[question.name].ravel()
            step = found[:-1] != found[1:]
            assert set(np.unique(found)) <= set(range(rule.quant_min, rule.quant_max + 1))
            assert step.any() and len(found) > 2 * len(np.unique(found)) - 2


def pair_program(op, a="int8", b="uint8", gate=False):
    """One operator on (2, 2, C), or with a second value per channel."""
    channels = op.requantize.multiplier.size
    program = one_op(op, (2, 2, channels), (2, 2, channels), a)
    values = program.values | {"z": TensorType((1, 1, channels) if gate else (2, 2, channels), b, 0.5)}
    ports = (program.inputs[0], dataclasses.replace(program.inputs[1], dtype=b))
    return dataclasses.replace(program, inputs=ports, values=values)


SUM = {"name": "s", "inputs": ("x", "z"), "output": "y", "multipliers": (600001, 123456)}
HALF_BYTE = Requantize([1], [20], -128, 127)


@pytest.mark.parametrize(
    ("program", "times"),
    [
        (pair_program(Add(**SUM, requantize=HALF_BYTE)), 1),
        (pair_program(Sub(**SUM, requantize=HALF_BYTE)), 1),
        (
            pair_program(Mul(name="m", inputs=("x", "z"), output="y", requantize=Requantize([20001], [21], -128, 127))),
            1,
        ),
        (
            pair_program(
                Mul(
                    name="m",
                    inputs=("x", "z"),
                    output="y",
                    requantize=Requantize([20001, 16385, 20001], [21, 22, 21], -128, 127),
                ),
                gate=True,
            ),
            2,
        ),
    ],
    ids=["add", "sub", "mul", "mul by a gate with two roundings"],
)
def test_every_pair_of_bytes_is_asked(program, times):
    probe = make_probe(program)
    (op,) = program.ops
    assert probe.asked == {op.name: "pairs of", **dict.fromkeys(FULL_SCALE, "thresholds of")}
    a, b = (np.broadcast_to(probe.inputs[f"{op.name}/{n}"], (1, 256, 1, 256 * times)).astype(int) for n in (0, 1))
    for part in range(times):
        chosen = slice(256 * part, 256 * (part + 1))
        pairs = {(x, z) for x, z in zip(a[..., chosen].flat, b[..., chosen].flat, strict=True)}
        assert pairs == {(x, z) for x in range(-128, 128) for z in range(256)}
    gate = program.values["z"].shape[:2] == (1, 1)
    assert (probe.inputs[f"{op.name}/1"].shape[1] == 1) == gate
    assert set(
        zip(*(getattr(probe.program.ops[0].requantize, key) for key in ("multiplier", "shift")), strict=True)
    ) == (set(zip(*(getattr(op.requantize, key) for key in ("multiplier", "shift")), strict=True)))
    report = verify_onnx(to_onnx(program), program)
    assert [(row.asked, row.elements, row.differing) for row in report.outputs if row.name == op.name] == [
        ("pairs of", 65536 * times, 0)
    ] * 2


def test_pairs_of_16_bits_are_not_asked():
    program = pair_program(Add(**SUM, requantize=HALF_BYTE), b="int16")
    assert set(make_probe(program).asked) == set(FULL_SCALE)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_every_entry_of_a_table_is_asked(dtype):
    table = np.random.default_rng(0).permutation(256) - 128
    program = one_op(Lut(name="l", inputs=("x",), output="y", table=table), (1, 1, 1), (1, 1, 1), dtype)
    probe = make_probe(program)
    assert probe.asked["l"] == "entries of"
    assert answers(probe)["l"].ravel().tolist() == table.tolist()


@pytest.mark.parametrize("form", ["golden", "qdq"])
@pytest.mark.parametrize(
    ("row", "wrong", "asked"),
    [
        ("lookup", lambda graph, op, x, dtype, storage: x, "entries of"),
        ("product", lambda graph, pair, multiplier: integer_nodes.Term(pair[0][0], multiplier, 0, 255), "pairs of"),
    ],
)
def test_a_row_that_is_wrong_is_found_without_an_image(form, row, wrong, asked, monkeypatch):
    program = drawn()
    for module in (golden, qdq):
        if hasattr(module, row):
            monkeypatch.setattr(module, row, wrong)
    report = verify_onnx(to_onnx(program, form), program)
    found = {name: sum(row.differing for row in report.outputs if row.asked == name) for name in ASKED}
    expected = form == "golden" or row == "lookup"
    assert report.passed != expected
    if expected:
        assert found[asked] > 100
    if form == "golden":
        assert sum(found.values()) == found[asked]


def test_full_scale_sums_are_beyond_what_16_bits_hold():
    probe = make_probe(dataclasses.replace(random_program(0), ops=()))
    rounded, raw = (answers(probe)[name][0, 2, 2].tolist() for name in FULL_SCALE)
    assert rounded == [127, -127, 0] and raw == [18653760, -18653760, 0]
    nodes = [node.op_type for node in to_onnx(probe.program).graph.node]
    assert nodes.count("QLinearConv") == nodes.count("ConvInteger") == 1


def test_full_scale_sums_of_16_bit_weights_need_both_bytes(monkeypatch):
    qconfig = QConfig(weight=dict(dtype="int16"), march="tidl")
    program = lowered(calibrated(lambda: nn.Conv2d(3, 2, 1), 0, qconfig))
    probe = make_probe(program)
    assert list(probe.asked) == [*FULL_SCALE, WIDE_FULL_SCALE]
    found = answers(probe)[WIDE_FULL_SCALE][0, 2, 2].tolist()
    assert found == [18359, -18359, 0], "9 · 64 · 32767 · 255 / 2^18 is 18359.4"
    assert verify_onnx(to_onnx(program), program).passed
    high = lambda weight: [(weight if weight.dtype == np.int8 else (weight >> 8).astype(np.int8), 256)]  # noqa: E731
    monkeypatch.setattr(integer_nodes, "_weight_bytes", high)
    report = verify_onnx(to_onnx(program), program)
    assert {row.name for row in report.outputs if row.differing} >= {WIDE_FULL_SCALE} and not report.passed


class Everything(nn.Module):
    """A block of EfficientNet with squeeze and excitation, a difference, a pad and a concatenation."""

    def __init__(self, activation):
        super().__init__()
        self.stem, self.other = conv(3, 4, nn.ReLU()), conv(3, 4)
        self.block = MBConv(4, 4, activation=activation, use_se_block=True, expand_ratio=2)
        self.sub, self.pad, self.concat, self.last = Difference(), nn.ZeroPad2d((0, 1, 2, 0)), Concat(), conv(8, 3)

    def forward(self, x):
        a = self.block(self.stem(x))
        b = self.pad(self.sub(a, self.other(x)))
        return {"features": b, "y": self.last(self.concat(b, self.pad(a)))}


@pytest.mark.parametrize("march", SIGNED_MARCHES)
@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("activation", ["relu", "swish"])
def test_networks_of_all_operators_are_equal(activation, dtype, march):
    rules = {"*.last.0": dict(dtype=dtype), "*.stem.0": dict(dtype=dtype)}
    program = lowered(calibrated(lambda: Everything(activation), qconfig=QConfig(rules=rules, march=march)))
    kinds = {op.kind for op in program.ops}
    assert kinds >= {"conv2d", "lut", "mul", "add", "sub", "pad", "concat"}
    report = verify_onnx(to_onnx(program), program, [random_inputs(program, 0, 1), random_inputs(program, 1, 2)])
    assert report.passed and all(row.promised for row in report.outputs)
    assert {row.asked for row in report.outputs} >= {"", "pairs of", "entries of"}
    if march == "bayes-sim":
        assert {row.asked for row in report.outputs} == {"", *ASKED}
    assert verify_onnx(to_onnx(program, "qdq"), program, [random_inputs(program, 0, 1)]).passed


def test_a_file_that_is_no_model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ProgramError, match=r"model\.onnx: ONNX Runtime cannot load it \("):
        verify_onnx(path, random_program(0))


def test_a_model_of_another_origin():
    model = to_onnx(random_program(0))
    del model.metadata_props[:]
    with pytest.raises(
        ProgramError, match=r"does not say in which form hatlite wrote it; make it with hatlite\.export"
    ):
        verify_onnx(model, random_program(0))


def test_a_model_of_another_program():
    with pytest.raises(
        ProgramError, match=r"The model has \{'img': .*\}, random has \{'img': .*\}; export the program"
    ):
        verify_onnx(to_onnx(random_program(0)), random_program(1))
