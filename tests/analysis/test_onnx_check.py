"""The check finds what differs, and says what it cannot check."""

import dataclasses

import numpy as np
import onnx
import pytest
from networks import ONNX_KINDS
from onnx import numpy_helper

from hatlite.analysis.onnx_check import verify_onnx
from hatlite.analysis.onnx_probe import FULL_SCALE, probe_inputs, probe_program
from hatlite.errors import ProgramError
from hatlite.executor import Executor
from hatlite.export import to_onnx
from hatlite.export.proof import as_convolution, certified, is_convolution
from hatlite.program import verify
from hatlite.program.samples import random_inputs, random_program

SEED = 20  # a program with a QLinearConv


def changed(model, operator, index, change):
    """Apply `change` to a constant of the first node of a kind."""
    node = next(node for node in model.graph.node if node.op_type == operator)
    held = next(item for item in model.graph.initializer if item.name == node.input[index])
    held.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(held)), held.name))
    return model


@pytest.mark.parametrize("real", [False, True])
def test_a_golden_file_is_equal(tmp_path, real):
    program = random_program(SEED, kinds=ONNX_KINDS)
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
    assert "thresholds of " in report.table().splitlines()[-1]
    assert report.to_dict()["passed"] is True


@pytest.mark.parametrize("real", [False, True])
def test_one_wrong_bias_is_found(real):
    program = random_program(SEED, kinds=ONNX_KINDS)
    model = changed(to_onnx(program, real=real), "QLinearConv", 8, lambda bias: bias + 40000)
    report = verify_onnx(model, program, [random_inputs(program, 1, 1)])
    assert not report.passed
    assert "are NOT equal" in report.summary()
    worst = max(row.max_lsb for row in report.outputs)
    assert worst > 0 and f"{worst:,}" in report.table()


def test_the_portable_form_is_checked_with_the_options_that_fuse_it():
    program = random_program(SEED, kinds=ONNX_KINDS)
    report = verify_onnx(to_onnx(program, "qdq"), program, [random_inputs(program, 1, 1)])
    assert {row.options for row in report.outputs} == {"default"}
    assert [row.promised for row in report.outputs[:2]] == [False, False]
    assert report.passed and "differ where the qdq form promises nothing" in report.summary()


def test_without_inputs_the_thresholds_alone_are_checked():
    program = random_program(SEED, kinds=ONNX_KINDS)
    report = verify_onnx(to_onnx(program), program)
    assert report.passed and sum(row.elements for row in report.outputs[:4]) == 0
    assert sum(row.elements for row in report.outputs) > 500


def test_thresholds_ask_for_both_sides_of_every_level():
    program = random_program(SEED, kinds=ONNX_KINDS)
    probe = verify(probe_program(program))
    asked = [op for op in program.ops if is_convolution(op, x := program.values[op.inputs[0]])
             and certified(as_convolution(op, x), x, program.values[op.output])]  # fmt: skip
    assert [op.name for op in probe.ops] == [*(op.name for op in asked), FULL_SCALE]
    results = Executor(probe, "reference").run(probe_inputs(probe))
    for question in probe.ops[: len(asked)]:
        rule, found = question.requantize, results[question.name].ravel()
        step = found[:-1] != found[1:]
        assert set(np.unique(found)) <= set(range(rule.quant_min, rule.quant_max + 1))
        assert step.any() and len(found) > 2 * len(np.unique(found)) - 2


def test_full_scale_sums_are_beyond_what_16_bits_hold():
    probe = probe_program(dataclasses.replace(random_program(0, kinds=ONNX_KINDS), ops=()))
    middle = Executor(probe, "reference").run(probe_inputs(probe))[FULL_SCALE][0, 2, 2]
    assert middle.tolist() == [127, -127, 0]


def test_a_file_that_is_no_model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ProgramError, match=r"model\.onnx: ONNX Runtime cannot load it \("):
        verify_onnx(path, random_program(0, kinds=ONNX_KINDS))


def test_a_model_of_another_origin():
    model = to_onnx(random_program(0, kinds=ONNX_KINDS))
    del model.metadata_props[:]
    with pytest.raises(
        ProgramError, match=r"does not say in which form hatlite wrote it; make it with hatlite\.export"
    ):
        verify_onnx(model, random_program(0, kinds=ONNX_KINDS))


def test_a_model_of_another_program():
    with pytest.raises(
        ProgramError, match=r"The model has \{'img': .*\}, random has \{'img': .*\}; export the program"
    ):
        verify_onnx(to_onnx(random_program(0, kinds=ONNX_KINDS)), random_program(1, kinds=ONNX_KINDS))
