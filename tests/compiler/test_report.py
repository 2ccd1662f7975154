"""The sum of all operators, as numbers, JSON and a table."""

import dataclasses
import json

import pytest
from single_op_programs import MARCH, conv, program

from hatlite.compiler import CompilerOptions, estimate
from hatlite.errors import MarchError


def test_the_estimate_refuses_with_every_finding() -> None:
    limits = dataclasses.replace(MARCH.limits, kernel=3, stride=2)
    small = dataclasses.replace(MARCH, limits=limits)
    with pytest.raises(MarchError, match=r"net cannot run on bayes-sim: 2 limits are exceeded\.\n- c \(conv2d, head"):
        estimate(program(conv(kernel=5, stride=(4, 4)), (16, 16, 16), (4, 4, 32)), small)


def test_the_estimate_refuses_another_march_and_an_empty_program() -> None:
    whole = program(conv(), (16, 16, 16), (16, 16, 32))
    with pytest.raises(MarchError, match=r"net was lowered for march 'other', not for 'bayes-sim'; lower it again\."):
        estimate(dataclasses.replace(whole, march="other"), MARCH)
    with pytest.raises(MarchError, match=r"net has no operators; there is nothing to estimate\."):
        estimate(dataclasses.replace(whole, ops=()), MARCH)


def test_the_report_adds_up_and_is_json() -> None:
    report = estimate(program(conv(), (16, 16, 16), (16, 16, 32)), MARCH, CompilerOptions(3))
    data = json.loads(json.dumps(report.to_dict()))
    assert data["total_cycles"] == 1850
    assert data["latency_ms"] == pytest.approx(1850 / 1.25e6)
    assert data["fps"] == pytest.approx(1000 / data["latency_ms"])
    assert (data["macs"], data["bytes"], data["march"], data["opt"]) == (1_179_648, 17_120, "bayes-sim", 3)
    assert data["simulated"] is True
    assert data["layers"][0]["output_shape"] == [16, 16, 32]
    assert data["layers"][0]["bound"] == "memory"


def test_the_table_explains_itself() -> None:
    lines = estimate(program(conv(), (16, 16, 16), (16, 16, 32)), MARCH).table().splitlines()
    assert lines[0].startswith("Estimate, not a measurement: cycles = overhead + max(compute, memory)")
    assert lines[3].split() == "c conv2d 16×16×32 1.18 8.7 8.0 288 1,338 1,850 memory 15.6".split()
    assert lines[5].endswith("simulated: 0.001 ms, 675675.7 images/s.")
    assert lines[-1] == "opt 2: accepted; what the levels change, and the .hbm file, come with a later compiler."
