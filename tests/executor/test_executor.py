import dataclasses
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from hatlite.errors import ProgramError
from hatlite.executor import ENGINES, Executor, check_engines, dequantize_outputs, register_engine
from hatlite.program import Conv2d, IntProgram, Port, Requantize, TensorType, Weight
from hatlite.program.samples import random_inputs, random_program

USABLE = [check.engine for check in check_engines() if check.usable]


@pytest.fixture
def program():
    """y = clamp(x · 3 + 1, rounded to halves); z = −x · 2 as it is."""
    common = {"inputs": ("x",), "stride": (1, 1)}
    ops = (
        Conv2d(
            name="y",
            output="y",
            weight=Weight([[[[3]]]]),
            bias=[1],
            requantize=Requantize(16385, 15, -128, 127),
            **common,
        ),
        Conv2d(name="z", output="z", weight=Weight([[[[-2]]]]), bias=[0], requantize=None, **common),
    )
    values = {
        "x": TensorType((1, 2, 1), "int8", 0.5),
        "y": TensorType((1, 2, 1), "int8", 0.25),
        "z": TensorType((1, 2, 1), "int32", [0.125]),
    }
    outputs = Port("out", "y", "int8", 0.25), Port("raw", "z", "int32", [0.125])
    return IntProgram("tiny", "bayes-sim", (Port("img", "x", "int8", 0.5),), outputs, ops, values)


def image(*values):
    return {"img": np.array(values, np.int8).reshape(-1, 1, 2, 1)}


@pytest.mark.parametrize("engine", [*USABLE, "auto"])
def test_outputs_by_hand(program, engine):
    outputs = Executor(program, engine).run(image(3, -3, 100, -128))
    assert {name: array.ravel().tolist() for name, array in outputs.items()} == {
        "out": [5, -4, 127, -128],  # halves of 10, −8, 301, −383 by a factor of 16385 / 32768
        "raw": [-6, 6, -200, 256],
    }
    assert (outputs["out"].dtype, outputs["raw"].dtype) == (np.int8, np.int32)
    assert outputs["out"].shape == (2, 1, 2, 1)


@pytest.mark.parametrize("engine", USABLE)
def test_keep_all_gives_every_value(program, engine):
    values = Executor(program, engine).run(image(3, -3), keep="all")
    assert list(values) == ["x", "y", "z"]
    np.testing.assert_array_equal(values["x"], image(3, -3)["img"])
    assert values["x"].dtype == np.int8


@pytest.mark.parametrize("engine", USABLE)
def test_an_input_that_is_an_output_survives(program, engine):
    both = dataclasses.replace(program, outputs=(*program.outputs, Port("same", "x", "int8", 0.5)))
    np.testing.assert_array_equal(Executor(both, engine).run(image(3, -3))["same"], image(3, -3)["img"])


@pytest.mark.parametrize("engine", USABLE)
def test_runs_leave_inputs_alone_and_repeat(engine):
    program = random_program(11)
    inputs = random_inputs(program, 11, batch=2)
    before = inputs["img"].copy()
    executor = Executor(program, engine)
    first, second = executor.run(inputs), executor.run(inputs)
    np.testing.assert_array_equal(inputs["img"], before)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize("engine", USABLE)
def test_a_batch_is_its_images_one_by_one(engine):
    program = random_program(12)
    inputs = random_inputs(program, 12, batch=3)
    executor = Executor(program, engine)
    together = executor.run(inputs)
    for name, array in together.items():
        single = [executor.run({"img": inputs["img"][i : i + 1]})[name] for i in range(3)]
        np.testing.assert_array_equal(array, np.concatenate(single))


def test_strided_and_read_only_inputs_are_taken(program):
    array = np.zeros((1, 1, 4, 1), np.int8)[:, :, ::2]
    array.flags.writeable = False
    assert Executor(program).run({"img": array})["out"].ravel().tolist() == [1, 1]


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({}, "got the inputs none; expected exactly 'img'"),
        ({"img": np.zeros((1, 1, 2, 1), np.int8), "x": None}, "got the inputs 'img', 'x'; expected exactly 'img'"),
        ({"img": np.zeros((1, 1, 2, 1))}, "input 'img' is float64; expected an array of int8"),
        ({"img": [[1]]}, "input 'img' is list; expected an array of int8"),
        ({"img": np.zeros((1, 2, 1), np.int8)}, r"input 'img' has shape \(1, 2, 1\); expected \(N, 1, 2, 1\), NHWC"),
        ({"img": np.zeros((1, 1, 1, 2), np.int8)}, r"input 'img' has shape \(1, 1, 1, 2\); expected \(N, 1, 2, 1\)"),
        (
            {"img": np.zeros((0, 1, 2, 1), np.int8)},
            r"input 'img' has shape \(0, 1, 2, 1\); expected \(N, 1, 2, 1\), NHWC, N ≥ 1",
        ),
    ],
)
def test_wrong_inputs_are_named(program, inputs, text):
    with pytest.raises(ProgramError, match=f"tiny: {text}"):
        Executor(program).run(inputs)


def test_inputs_of_different_batches(program):
    two = dataclasses.replace(
        program,
        inputs=(*program.inputs, Port("mask", "m", "int8", 1.0)),
        values={**program.values, "m": TensorType((1, 1, 1), "int8", 1.0)},
    )
    with pytest.raises(ProgramError, match="the inputs differ in batch size: img 2, mask 1"):
        Executor(two).run({**image(1, 2, 3, 4), "mask": np.zeros((1, 1, 1, 1), np.int8)})


def test_unknown_engine(program):
    with pytest.raises(
        ProgramError, match=r"engine is 'float23'; expected one of auto, reference, float32.*\n.*'float32'"
    ):
        Executor(program, "float23")


def test_unknown_keep(program):
    with pytest.raises(ProgramError, match="keep is 'everything'; expected one of outputs, all"):
        Executor(program).run(image(1, 2), keep="everything")


def test_invalid_programs_do_not_run(program):
    with pytest.raises(ProgramError, match="tiny: has no outputs"):
        Executor(dataclasses.replace(program, outputs=()))


def test_auto_needs_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"  # importing it now fails
        "from hatlite.executor import Executor\n"
        "from hatlite.program.samples import random_program\n"
        "print(Executor(random_program(0)).engine)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "reference"


def test_dequantized_outputs_by_hand(program):
    real = dequantize_outputs(program, Executor(program).run(image(3, -3)))
    assert {name: array.tolist() for name, array in real.items()} == {
        "out": [[[[1.25, -1.0]]]],
        "raw": [[[[-0.75, 0.75]]]],
    }
    assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in real.values())


def test_outputs_are_dequantized_to_nchw():
    program = random_program(2)
    outputs = Executor(program, "reference").run(random_inputs(program, 2, batch=2))
    real = dequantize_outputs(program, outputs)
    for port in program.outputs:
        expected = outputs[port.name].astype(np.float32) * np.asarray(port.scale, np.float32)
        np.testing.assert_array_equal(real[port.name], expected.transpose(0, 3, 1, 2))


def test_an_engine_that_lacks_something_says_what_and_what_helps(program, monkeypatch):
    def refuse(program):
        raise RuntimeError("the native engine needs a C compiler")

    monkeypatch.setitem(sys.modules, "no_compiler", SimpleNamespace(Engine=refuse))
    monkeypatch.setitem(ENGINES, "broken", "no_compiler")
    with pytest.raises(
        ProgramError, match="engine 'broken' cannot run here: the native engine needs a C compiler;.*'auto'"
    ):
        Executor(program, "broken")


def test_an_engine_of_another_layer_is_registered_by_name(program, monkeypatch):
    monkeypatch.setitem(ENGINES, "mine", "")
    register_engine("mine", "hatlite.executor.kernels.reference")
    assert Executor(program, "mine").engine == "mine"
