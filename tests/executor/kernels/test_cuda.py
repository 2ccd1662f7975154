"""The CUDA engine is the float32 engine on another device; here its code runs on the CPU, there on the device."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.errors import ProgramError
from hatlite.executor import Executor, executor
from hatlite.executor.executor import ENGINES
from hatlite.executor.kernels import convolve, cuda, float32
from hatlite.executor.self_test import EngineCheck, check_engine, threshold_program
from hatlite.program.samples import random_inputs, random_program

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


@pytest.fixture
def on_the_cpu(monkeypatch):
    """The engine for a device, its convolutions checked, on the device at hand."""

    class Checked(float32.Engine):
        def __init__(self, program):
            super().__init__(program, device="cpu")

    monkeypatch.setattr(convolve, "DIRECT_DEVICES", ())
    monkeypatch.setattr(float32, "Engine", Checked)


def equal_to_the_reference(program, inputs, engine):
    expected, got = (Executor(program, name).run(inputs, keep="all") for name in ("reference", engine))
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)
        assert got[name].dtype == expected[name].dtype and got[name].flags.c_contiguous


@pytest.mark.parametrize("seed", range(12))
def test_checked_convolutions_give_the_reference(on_the_cpu, seed):
    program = random_program(seed)
    equal_to_the_reference(program, random_inputs(program, seed, batch=2), "float32")


@pytest.mark.parametrize("seed", range(6))
def test_so_do_convolutions_that_fail_their_check(on_the_cpu, monkeypatch, seed):
    monkeypatch.setattr(convolve.Convolution, "_is_direct", lambda layer, x: False)
    program = random_program(seed)
    equal_to_the_reference(program, random_inputs(program, seed, batch=2), "float32")


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_thresholds_with_the_tail_in_float32(dtype):
    program, image = threshold_program(dtype)
    (op,) = program.ops
    assert float32.is_proven(op, *float32._types(op, program), ("float32",))
    equal_to_the_reference(program, {"img": image}, "float32")


def tensors_in(item):
    """Yield every tensor that a kernel has prepared, however deep its closures hold it."""
    if isinstance(item, torch.Tensor):
        yield item
    held = [cell.cell_contents for cell in getattr(item, "__closure__", None) or ()]
    held += getattr(item, "__dict__", {}).values() if isinstance(item, convolve.Convolution) else ()
    for part in held:
        yield from tensors_in(part)


def test_constants_follow_the_device():
    """Everything that the engine prepares is made on its device; a constant left behind would meet another one."""
    found = []
    for seed in range(6):
        program = random_program(seed)
        engine = float32.Engine(program, device="meta")
        for op in program.ops:
            prepared = list(tensors_in(engine._kernels[op.name]))
            assert all(tensor.device.type == "meta" for tensor in prepared), op.kind
            assert prepared or op.kind not in ("conv2d", "linear", "lut", "rescale", "mul", "resize_bilinear2x")
            found += prepared
    assert len(found) > 50


def test_cudnn_chooses_by_shape_inside_and_as_before_outside():
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    with float32.Engine(random_program(0)).session():
        assert (cudnn.deterministic, cudnn.benchmark) == (True, False)
        assert cudnn.conv.fp32_precision == "ieee"
    assert (cudnn.deterministic, cudnn.benchmark) == before


@NO_GPU
def test_without_a_device_it_says_so():
    with pytest.raises(ProgramError, match=r"there is no CUDA device that this torch can use; take engine='auto'\."):
        Executor(random_program(0), "cuda")
    said = str(check_engine("cuda", ENGINES["cuda"]))
    assert said == "cuda: not usable, there is no CUDA device that this torch can use; take engine='auto'."
    assert Executor(random_program(0), device="cuda").engine == Executor(random_program(0)).engine


@pytest.mark.parametrize(("device", "expected"), [("cuda", "cuda"), ("cuda:1", "cuda"), ("cpu", "cpu"), (None, "cpu")])
def test_auto_takes_it_only_when_asked(monkeypatch, device, expected):
    monkeypatch.setattr(executor, "check_engine", lambda name, path: EngineCheck(name))
    chosen = executor._choose("auto", device)
    assert chosen == "cuda" if expected == "cuda" else chosen == executor.FASTEST_FIRST[0] != "cuda"


@GPU
@settings(max_examples=40, derandomize=True, deadline=None)
@given(seed=st.integers(0, 2**31), batch=st.sampled_from([1, 3]))
def test_every_value_on_the_device_equals_the_reference(seed, batch):
    program = random_program(seed)
    equal_to_the_reference(program, random_inputs(program, seed, batch), "cuda")


@GPU
def test_the_device_passes_its_self_test_and_tf32_cannot_get_in(monkeypatch):
    assert check_engine("cuda", ENGINES["cuda"]).usable
    monkeypatch.setattr(torch.backends.cudnn.conv, "fp32_precision", "tf32")
    program = random_program(5)
    equal_to_the_reference(program, random_inputs(program, 5), "cuda")


@GPU
def test_values_lie_on_the_device():
    program = random_program(1)
    engine = cuda.Engine(program)
    port = program.inputs[0]
    assert engine.enter(random_inputs(program, 1)[port.name]).is_cuda
