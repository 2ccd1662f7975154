"""Questions to ONNX Runtime on gti5801: golden files are equal, those of the form qdq near; there is no form clip."""

import numpy as np
import pytest
import torch
from chains import Chain, chain_qconfig, unit_chain
from onnx import numpy_helper
from operator_networks import lowered

from hatlite.analysis.onnx_check import verify_onnx
from hatlite.analysis.onnx_probe import FULL_SCALE, make_probe
from hatlite.errors import ProgramError
from hatlite.executor import Executor
from hatlite.export import exact_outputs, to_onnx
from hatlite.program import verify
from hatlite.program.samples import random_inputs

SIZE = (10, 12)


def chain(wide=False):
    """Return the program of a chain whose last layer has 8-bit weights, and an output of 5 bits or 10, with gains."""
    network = Chain((6, 8, 5, 4), wide_output=wide)
    network.dequant.gain.copy_(torch.tensor([0.5, 1.0, 2.0, 0.125]))
    return lowered(unit_chain(network, SIZE, chain_qconfig(network, ("int8",))))


@pytest.mark.parametrize("wide", [False, True], ids=["5 bits", "10 bits"])
@pytest.mark.parametrize("real", [False, True], ids=["integers", "reals"])
def test_the_golden_form_is_equal(wide, real):
    program = chain(wide)
    report = verify_onnx(to_onnx(program, real=real), program, [random_inputs(program, seed, 2) for seed in (0, 1)])
    assert report.passed and all(row.promised and not row.differing for row in report.outputs)
    assert {row.asked for row in report.outputs} == {"", "thresholds of"}


def test_a_wrong_weight_of_the_golden_form_is_found():
    program = chain()
    model = to_onnx(program)
    held = next(item for item in model.graph.initializer if len(item.dims) == 4)
    held.CopyFrom(numpy_helper.from_array(np.roll(numpy_helper.to_array(held), 1, axis=3), held.name))
    report = verify_onnx(model, program, [random_inputs(program, 0)])
    assert not report.passed and "NOT equal" in report.summary()


def test_the_form_qdq_promises_nothing_behind_a_shift_and_is_near():
    program = chain()
    report = verify_onnx(to_onnx(program, "qdq"), program, [random_inputs(program, seed, 2) for seed in (0, 1)])
    assert exact_outputs(program, "qdq") == frozenset()
    (row,) = (row for row in report.outputs if not row.asked)
    assert report.passed and not row.promised and row.differing and row.max_lsb <= 3
    assert "the qdq form promises no equal integers" in report.summary() and "and are near" in report.summary()


def test_there_is_no_form_clip():
    with pytest.raises(ProgramError, match="'clip' says scales by ranges that are powers of two, .*'gti5801'.*'qdq'"):
        to_onnx(chain(), "clip")


def test_full_scale_sums_stay_within_what_the_march_shifts():
    probe = make_probe(chain())
    assert verify(probe.program) and list(probe.asked) == [FULL_SCALE[0]]
    sums = Executor(probe.program, "reference").run(probe.inputs)[FULL_SCALE[0]]
    assert sums[0, 2, 2].tolist() == [26, 0, 0], "(9 · 3 · 127 · 31 + 2^11) >> 12 is 26"
    assert probe.inputs[f"{FULL_SCALE[0]}/0"].max() == 31
