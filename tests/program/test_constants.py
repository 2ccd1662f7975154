import numpy as np
import pytest

from hatlite.errors import ProgramError
from hatlite.program.constants import Requantize, Source, Weight, constant


def test_constants_are_read_only_copies():
    values = np.ones((1, 1, 1, 2))
    weight = Weight(values)
    values[:] = 9
    assert weight.values.tolist() == [[[[1, 1]]]]
    assert weight.values.dtype == np.int8
    with pytest.raises(ValueError, match="read-only"):
        weight.values[0] = 3


def test_weights_given_as_16_bits_stay_that():
    given = np.array([-(2**15), 2**15 - 1], np.int16).reshape(1, 1, 1, 2)
    assert (Weight(given).dtype, Weight(given.astype(np.int64) // 256).dtype) == ("int16", "int8")
    assert Weight(given).values.tolist() == given.tolist()
    with pytest.raises(ProgramError, match="weight holds values that int8 cannot represent"):
        Weight(given.astype(np.int64))


def test_codes_are_a_kind_of_weights():
    values = np.ones((1, 1, 1, 2))
    assert (Weight(values).kind, Weight(values.astype(np.int16)).kind) == ("int8", "int16")
    assert Weight(values, encoding="codebook", granularity="per_kernel").kind == "kernel3"


@pytest.mark.parametrize("values", [[0.5], [128], [-129], [np.nan], ["x"], [np.inf]])
def test_constants_are_never_changed_silently(values):
    with pytest.raises(ProgramError, match="bias holds values that int8 cannot represent"):
        constant(values, "int8", "bias")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"values": np.ones((2, 3))}, r"weight has shape \(2, 3\); expected \(O, kh, kw, I / groups\)"),
        ({"values": np.ones((2, 0, 1, 1))}, r"weight has shape \(2, 0, 1, 1\)"),
        ({"encoding": "sparse"}, "weight encoding is 'sparse'; this version knows dense, codebook"),
        ({"granularity": "per_row"}, "weight granularity is 'per_row'; this version knows per_axis, per_kernel"),
        ({"encoding": "codebook"}, "weight is codebook per_axis; expected dense per_axis or codebook per_kernel"),
        ({"granularity": "per_kernel"}, "weight is dense per_kernel; expected dense per_axis or codebook per_kernel"),
        ({"scale": [1.0]}, r"weight scale has shape \(1,\); expected 2 finite numbers above 0"),
        ({"scale": [1.0, 0.0]}, r"weight scale has shape \(2,\); expected 2 finite numbers above 0"),
    ],
)
def test_weights_that_cannot_be(fields, text):
    with pytest.raises(ProgramError, match=text):
        Weight(**{"values": np.ones((2, 1, 1, 1)), **fields})


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"rounding": "half_even"}, "rounding is 'half_even'; this version knows half_up"),
        ({"shift": [1, 2]}, r"multiplier \(1,\) and shift \(2,\) differ in length"),
        ({"multiplier": [], "shift": []}, r"multiplier \(0,\) and shift \(0,\) differ in length"),
        ({"quant_min": 5, "quant_max": 5}, "clamp 5…5 is empty"),
        ({"multiplier": [1.5]}, "multiplier holds values that int64 cannot represent"),
    ],
)
def test_requantize_rules_that_cannot_be(fields, text):
    with pytest.raises(ProgramError, match=text):
        Requantize(**{"multiplier": [3], "shift": [1], "quant_min": 0, "quant_max": 255, **fields})


def test_requantize_holds_plain_numbers():
    rule = Requantize(3, 1, np.int64(0), np.int16(255))
    assert (rule.multiplier.shape, type(rule.quant_min), type(rule.quant_max)) == ((1,), int, int)


def test_source_as_text():
    assert str(Source("backbone.stem", "net.py:3")) == "backbone.stem net.py:3"
    assert str(Source()) == "source unknown"
