import numpy as np
import pytest

from hatlite.errors import ProgramError
from hatlite.program import Port, TensorType


@pytest.mark.parametrize("shape", [(1, 2), (0, 1, 1), (1, 1, 1.5)])
def test_shapes_are_three_whole_numbers(shape):
    with pytest.raises(ProgramError, match="expected \\(height, width, channels\\) of 1 or more"):
        TensorType(shape, "int8", 1.0)


def test_unknown_dtypes():
    with pytest.raises(ProgramError, match="value: dtype is 'int4'; expected one of int8, uint8, int16, int32"):
        TensorType((1, 1, 1), "int4", 1.0)
    with pytest.raises(ProgramError, match="port 'img': dtype is 'int4'"):
        Port("img", "x", "int4", 1.0)


@pytest.mark.parametrize("scale", [0.0, np.nan, [1.0, -1.0], [[1.0]]])
def test_scales_are_positive(scale):
    with pytest.raises(ProgramError, match=r"value: scale is .*; expected finite numbers above 0"):
        TensorType((1, 1, 2), "int32", scale)


def test_scales_become_plain():
    assert type(TensorType((1, 1, 1), "int8", np.float32(0.5)).scale) is float
    assert TensorType((1, 1, 2), "int32", [1, 2]).scale.dtype == np.float64


def test_unknown_layout():
    with pytest.raises(ProgramError, match="port 'img': layout is 'NCHW'; this version knows NHWC"):
        Port("img", "x", "int8", 1.0, layout="NCHW")
