"""Images enter the executor as the arithmetic defines it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.engine.executor_network import BLOCK, ExecutorNetwork, _quantized
from hatlite.errors import ProgramError, QuantizationError
from hatlite.executor import Executor, dequantize_outputs
from hatlite.ops.integer.fixed_point import quantize
from hatlite.program.samples import random_program


@settings(derandomize=True, deadline=None)
@given(
    values=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=40),
    scale=st.floats(1e-6, 1e6),
    kind=st.sampled_from([("int8", -128, 127), ("uint8", 0, 255), ("uint8", 0, 31), ("int16", -(2**15), 2**15 - 1)]),
)
def test_images_become_the_defined_integers(values, scale, kind):
    dtype, *limits = kind
    halves = np.array([*values, *((k + 0.5) * scale for k in range(-4, 4))], np.float32)
    got = _quantized(torch.from_numpy(halves), SimpleNamespace(scale=scale, dtype=dtype), limits).numpy()
    np.testing.assert_array_equal(got, quantize(halves, scale, dtype, limits))
    assert got.dtype == dtype


def test_several_blocks():
    values = torch.randn(2 * BLOCK + 5, generator=torch.manual_seed(0))
    port = SimpleNamespace(scale=1 / 64, dtype="int8")
    np.testing.assert_array_equal(
        _quantized(values, port, (-7, 7)).numpy(), quantize(values.numpy(), 1 / 64, "int8", (-7, 7))
    )


def test_nan_is_refused():
    values = torch.zeros(BLOCK + 1)
    values[-1] = torch.nan
    with pytest.raises(QuantizationError, match="a value to quantise is NaN"):
        _quantized(values, SimpleNamespace(scale=1.0, dtype="int8"), (-128, 127))


def test_the_network_is_the_executor_between_real_numbers():
    program = random_program(3)
    height, width, channels = program.values["img"].shape
    for layout in (torch.contiguous_format, torch.channels_last):
        img = torch.randn(2, channels, height, width, generator=torch.manual_seed(1)).contiguous(memory_format=layout)
        port = program.inputs[0]
        integers = quantize(img.permute(0, 2, 3, 1).numpy(), float(port.scale), port.dtype)
        expected = dequantize_outputs(program, Executor(program, "reference").run({port.name: integers}))
        got = ExecutorNetwork(program)(img)
        for name in expected:
            np.testing.assert_array_equal(expected[name], got[name].numpy())


def test_an_image_of_another_size_is_refused():
    program = random_program(3)
    height, width, channels = program.values["img"].shape
    said = rf"is made for images of {height}×{width} .* got one of {height + 1}×{width}; resize images to that in"
    with pytest.raises(ProgramError, match=said):
        ExecutorNetwork(program)(torch.zeros(1, channels, height + 1, width))
