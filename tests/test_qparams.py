import numpy as np
import pytest

from hatlite.errors import QuantizationError
from hatlite.qparams import INT_TYPES, QParams, int_range, int_type


@pytest.mark.parametrize("name", INT_TYPES)
def test_ranges_are_those_of_numpy(name):
    facts = np.iinfo(name)
    assert int_range(name) == (facts.min, facts.max)
    assert int_type(name).bytes == np.dtype(name).itemsize


def test_magnitude_is_the_larger_side():
    assert (int_type("int8").magnitude, int_type("uint8").magnitude) == (128, 255)


def test_qparams_carry_the_range():
    qparams = QParams(1 / 128, "int16")
    assert (qparams.quant_min, qparams.quant_max) == (-32768, 32767)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_scale_must_be_positive(scale):
    with pytest.raises(QuantizationError, match=f"scale is {scale}; expected a finite number above 0"):
        QParams(scale, "int8")


def test_unknown_dtype():
    with pytest.raises(QuantizationError, match="dtype is 'int7'; expected one of int8, uint8, int16, int32"):
        QParams(1.0, "int7")
