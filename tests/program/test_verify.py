import dataclasses

import pytest

from hatlite.errors import MarchError, ProgramError
from hatlite.program import Port, TensorType, dumps, loads, verify


def test_a_valid_program_is_returned(program):
    assert verify(program) is program


def with_op(program, index, **fields):
    ops = list(program.ops)
    ops[index] = dataclasses.replace(ops[index], **fields)
    return {"ops": tuple(ops)}


IMG = Port("img", "img", "int8", 1 / 128)
OUT = Port("out", "c", "uint8", 0.2)


def nested(depth):
    return [nested(depth - 1)] if depth else None


BROKEN = {
    "operator 'add' exists twice": lambda p: with_op(p, 0, name="add"),
    "input 'img' exists twice": lambda p: {"inputs": (IMG, IMG)},
    "output 'out' exists twice": lambda p: {"outputs": (OUT, OUT)},
    "has no inputs; expected at least one": lambda p: {"inputs": ()},
    "has no outputs; expected at least one": lambda p: {"outputs": ()},
    r"conv2d 'stem' \(backbone.stem net.py:31\) reads 'b', which nothing before": lambda p: with_op(
        p, 0, inputs=("b",)
    ),
    "add 'add' .* assigns 'a', which conv2d 'stem' .* has assigned already": lambda p: with_op(p, 1, output="a"),
    "add 'add' .* assigns 'new', which has no type in values": lambda p: with_op(p, 1, output="new"),
    "value 'spare' has a type, but nothing defines it": lambda p: {
        "values": {**p.values, "spare": TensorType((1, 1, 1), "int8", 1.0)}
    },
    "output 'out' is 'nowhere', which nothing defines": lambda p: {
        "outputs": (dataclasses.replace(OUT, value="nowhere"),)
    },
    "output 'out' and its value 'c' differ in dtype or scale": lambda p: {
        "outputs": (dataclasses.replace(OUT, scale=1),)
    },
    "input 'img' and its value 'img' differ in dtype": lambda p: {"inputs": (dataclasses.replace(IMG, dtype="uint8"),)},
    "output 'out' has stride 0; expected a whole number": lambda p: {"outputs": (dataclasses.replace(OUT, stride=0),)},
    "input 'img' is int32; march bayes-sim has int8, uint8, int16": lambda p: {
        "inputs": (dataclasses.replace(IMG, dtype="int32"),),
        "values": {**p.values, "img": TensorType((7, 5, 2), "int32", 1 / 128)},
    },
    r"metadata\['x'\] is \{1, 2\}; expected None, booleans": lambda p: {"metadata": {"x": {1, 2}}},
    r"metadata\['x'\] is": lambda p: {"metadata": {"x": [{"y": object()}]}},
    r"metadata\['x'\] is \{1": lambda p: {"metadata": {"x": {1: 2}}},
    r"metadata\['x'\] is 18446744073709551616; expected .* of 64 bits": lambda p: {"metadata": {"x": 2**64}},
    r"metadata\['x'\] is \[\[\[.* nested 16 deep or less": lambda p: {"metadata": {"x": nested(17)}},
    r"value 'img' has shape \(65536, 65536, 2\); expected 2147483647 integers or fewer": lambda p: {
        "values": {**p.values, "img": TensorType((2**16, 2**16, 2), "int8", 1 / 128)}
    },
    "'img' is int8 with a scale per channel; only int32": lambda p: {
        "inputs": (dataclasses.replace(IMG, scale=[0.5, 0.5]),),
        "values": {**p.values, "img": TensorType((7, 5, 2), "int8", [0.5, 0.5])},
    },
}


@pytest.mark.parametrize("text", BROKEN)
def test_each_rule_of_a_program(program, text):
    with pytest.raises(ProgramError, match=f"^tiny: {text}"):
        verify(dataclasses.replace(program, **BROKEN[text](program)))


def test_metadata_as_deep_as_it_may_be_survives(program):
    deep = dataclasses.replace(program, metadata={"x": nested(16), "y": 2**64 - 1, "z": -(2**63)})
    assert loads(dumps(deep)).metadata == deep.metadata


def test_the_march_must_exist(program):
    with pytest.raises(MarchError, match="march is 'bayes', which is not registered"):
        verify(dataclasses.replace(program, march="bayes"))
