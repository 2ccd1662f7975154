"""The onnxruntime engine of the executor gives the reference's integers; without its extra it is not used."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hatlite.analysis  # noqa: F401 - registers it
from hatlite.errors import ProgramError
from hatlite.executor import ENGINES, Executor
from hatlite.executor.self_test import check_engine, threshold_program
from hatlite.program.samples import random_inputs, random_program

MODULE = ENGINES["onnxruntime"]


@pytest.fixture(scope="module")
def _runtime():
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")


@pytest.mark.usefixtures("_runtime")
@settings(max_examples=15, derandomize=True, deadline=None)
@given(seed=st.integers(0, 2**31), batch=st.sampled_from([1, 2]))
def test_every_value_equals_the_reference(seed, batch):
    program = random_program(seed)
    inputs = random_inputs(program, seed, batch=batch)
    for keep in ("outputs", "all"):
        expected, got = (Executor(program, engine).run(inputs, keep) for engine in ("reference", "onnxruntime"))
        assert list(expected) == list(got)
        for name in expected:
            np.testing.assert_array_equal(expected[name], got[name], err_msg=f"{keep} {name}")
            assert got[name].dtype == expected[name].dtype and got[name].flags.c_contiguous


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.usefixtures("_runtime")
def test_all_thresholds(dtype):
    program, image = threshold_program(dtype)
    executors = [Executor(program, engine) for engine in ("reference", "onnxruntime")]
    expected, got = (executor.run({"img": image})["out"] for executor in executors)
    np.testing.assert_array_equal(expected, got)
    assert executors[1].kernels == {"thresholds": "onnxruntime"}


def test_without_the_extra_it_is_not_used(monkeypatch):
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    check_engine.cache_clear()
    check = check_engine("onnxruntime", MODULE)
    check_engine.cache_clear()
    assert not check.usable and "import of onnxruntime halted" in str(check)
    program, _ = threshold_program("int8")
    with pytest.raises(
        ProgramError, match="engine 'onnxruntime' cannot run here: import of onnxruntime halted.*'auto'"
    ):
        Executor(program, "onnxruntime")
