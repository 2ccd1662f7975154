"""What marches ask of constants: each rule on a program of the march that only shifts."""

import dataclasses

import numpy as np
import pytest

from hatlite.errors import ProgramError
from hatlite.program import Add, Conv2d, IntProgram, Port, Requantize, TensorType, Weight, verify


def rule(multiplier=1, shift=3, **fields):
    return Requantize(multiplier, shift, -128, 127, **{"bias_bits": 16, **fields})


def conv(**fields):
    weight = Weight(np.full((4, 1, 1, 4), -128))
    parts = {"name": "c", "inputs": ("x",), "output": "y", "weight": weight, "bias": [0] * 4, "requantize": rule()}
    return Conv2d(**{**parts, **fields})


def wide(value):
    return Weight(np.full((4, 1, 1, 4), value, np.int16))


def depthwise(**fields):
    return conv(weight=Weight(np.full((4, 1, 1, 1), -128)), groups=4, **fields)


def program(op, scale=0.5, dtype="int8", march="tidl"):
    values = {"x": TensorType((2, 2, 4), dtype, 0.5), "y": TensorType((2, 2, 4), "int8", scale)}
    ports = (Port("img", "x", dtype, 0.5),), (Port("out", "y", "int8", scale),)
    return IntProgram("net", march, *ports, (op,), values)


def add(**fields):
    return Add(
        **{"name": "a", "inputs": ("x", "x"), "output": "y", "multipliers": (4, 1), "requantize": rule(), **fields}
    )


VALID = {
    "the smallest weight and a shift of 0": lambda: program(conv(requantize=rule(shift=0))),
    "a shift to the left": lambda: program(conv(requantize=rule(4096, 0))),
    "depthwise channels with shifts of their own": lambda: program(depthwise(requantize=rule([1] * 4, [0, 1, 2, 31]))),
    "the smallest bias": lambda: program(conv(bias=[-(2**15)] * 4)),
    "a bias of 32 bits behind 16-bit inputs": lambda: program(
        conv(bias=[2**15] * 4, requantize=rule(bias_bits=32)), dtype="int16"
    ),
    "16-bit weights and a bias of 32 bits": lambda: program(
        conv(weight=wide(-(2**15)), bias=[-(2**31), 0, 0, 2**31 - 1], requantize=rule(bias_bits=32))
    ),
    "an input that counts as 0": lambda: program(add(multipliers=(2**19, 0))),
}


@pytest.mark.parametrize("name", VALID)
def test_what_the_march_has(name):
    verify(VALID[name]())


BROKEN = {
    r"'y' has the scale 0.3; the march has powers of two only": lambda: program(conv(), 0.3),
    "multiplier is 16385; the march shifts only: 1, or with a shift of 0 a power of two below 8192": lambda: program(
        conv(requantize=rule(16385, 20))
    ),
    "multiplier is 2; the march shifts only": lambda: program(conv(requantize=rule(2, 1))),
    "multiplier is 8192; the march shifts only": lambda: program(conv(requantize=rule(8192, 0))),
    "shift reaches from 32 to 32; expected 0…31": lambda: program(conv(requantize=rule(shift=32))),
    "shift reaches from -1 to 3; expected 0…31": lambda: program(depthwise(requantize=rule([1] * 4, [-1, 3, 3, 3]))),
    "has shifts from 2 to 3; the march has one for all channels here": lambda: program(
        conv(requantize=rule([1] * 4, [2, 3, 3, 3]))
    ),
    r"multipliers are \(3, 1\); the march shifts only, so each is 0 or a power of two": lambda: program(
        add(multipliers=(3, 1))
    ),
    "biases reach from 0 to 32768; behind int8 the march has 16 bits": lambda: program(conv(bias=[0, 0, 0, 2**15])),
    "rounds half_up with a bias of 32 bits; the march rounds half_up with 16": lambda: program(
        conv(requantize=rule(bias_bits=32))
    ),
    "rounds half_up with a bias of 16 bits; the march rounds half_up with 32": lambda: program(conv(weight=wide(1))),
    "has weights of int16; the march has int8": lambda: program(
        conv(weight=wide(1), requantize=Requantize(16385, 20, -128, 127)), march="bayes-sim"
    ),
    "weights reach from -128 to -128; the march has -127…127": lambda: program(
        conv(requantize=Requantize(16385, 20, -128, 127)), march="bayes-sim"
    ),
}


@pytest.mark.parametrize("text", BROKEN)
def test_what_it_does_not_have(text):
    with pytest.raises(ProgramError, match=f"^net: .*{text}"):
        verify(BROKEN[text]())


def test_a_raw_accumulator_has_powers_of_two_too():
    raw = program(conv(requantize=None))
    kinds = {**raw.values, "y": TensorType((2, 2, 4), "int32", [0.5, 0.25, 0.125, 0.1])}
    ports = (Port("out", "y", "int32", [0.5, 0.25, 0.125, 0.1]),)
    with pytest.raises(ProgramError, match="'y' has the scale 0.1; the march has powers of two only"):
        verify(dataclasses.replace(raw, values=kinds, outputs=ports))


def test_a_raw_accumulator_holds_few_products_of_16_bits():
    large = np.full((4, 15, 15, 4), -(2**15), np.int16)  # 900 taps times 2^15 times 2^7
    raw = program(conv(weight=Weight(large), padding=(7, 7), requantize=None))
    kinds = {**raw.values, "y": TensorType((2, 2, 4), "int32", 0.5)}
    raw = dataclasses.replace(raw, values=kinds, outputs=(Port("out", "y", "int32", 0.5),))
    text = "channel 0: the accumulator can reach 3774873600, beyond int32; .* or more groups, or 8-bit weights"
    with pytest.raises(ProgramError, match=text):
        verify(raw)
    verify(program(conv(weight=Weight(large), padding=(7, 7), requantize=rule(bias_bits=32, shift=20))))
