import numpy as np
import pytest

from hatlite.errors import ProgramError
from hatlite.program import Add, Conv2d, IntProgram, Port, Requantize, Source, TensorType
from hatlite.program.fields import check_fields

RULE = Requantize([16385], [20], 0, 255)


@pytest.mark.parametrize(
    ("cls", "values"),
    [
        (Source, {"module": "a", "line": ""}),
        (TensorType, {"shape": (1, 2, 3), "dtype": "int8", "scale": 0.5}),
        (TensorType, {"scale": np.ones(2)}),
        (Conv2d, {"requantize": None, "activation_min": None, "stride": (1, 1), "bias": np.zeros(2, np.int32)}),
        (Add, {"requantize": RULE, "inputs": ("a", "b", "c"), "source": Source()}),
        (IntProgram, {"values": {"x": TensorType((1, 1, 1), "int8", 1.0)}, "metadata": {"any": object()}, "ops": ()}),
    ],
)
def test_fields_as_they_are_declared(cls, values):
    check_fields(cls, values)


@pytest.mark.parametrize(
    ("cls", "values", "text"),
    [
        (Source, {"colour": 1}, "holds a Source with 'colour'; this version knows module, line"),
        (Source, {"kind": ""}, "holds a Source with 'kind'"),
        (Add, {"kind": "sub"}, "holds a Add with 'kind'; this version knows name, inputs"),
        (Source, {"module": None}, r"holds a Source whose module is None \(NoneType\); write the file again"),
        (TensorType, {"shape": [1, 2, 3]}, r"TensorType whose shape is \[1, 2, 3\] \(list\)"),
        (TensorType, {"shape": (1, 2)}, r"TensorType whose shape is \(1, 2\) \(tuple\)"),
        (TensorType, {"shape": (True, 1, 1)}, r"TensorType whose shape is \(True, 1, 1\)"),
        (TensorType, {"scale": np.ones(2, np.float32)}, r"TensorType whose scale is array.* \(ndarray\)"),
        (TensorType, {"scale": 1}, r"TensorType whose scale is 1 \(int\)"),
        (Conv2d, {"bias": np.zeros(2)}, r"Conv2d whose bias is array.* \(ndarray\)"),
        (Conv2d, {"groups": 1.0}, r"Conv2d whose groups is 1.0 \(float\)"),
        (Conv2d, {"groups": True}, r"Conv2d whose groups is True \(bool\)"),
        (Conv2d, {"requantize": Source()}, r"Conv2d whose requantize is Source"),
        (Add, {"inputs": ("a", 1)}, r"Add whose inputs is \('a', 1\)"),
        (
            IntProgram,
            {"values": {"x": Port("x", "x", "int8", 1.0)}},
            r"IntProgram whose values is \{'x': Port.{25,40}…",
        ),
        (IntProgram, {"ops": (Source(),)}, r"IntProgram whose ops is "),
    ],
)
def test_other_fields_are_named(cls, values, text):
    with pytest.raises(ProgramError, match=text):
        check_fields(cls, values)
