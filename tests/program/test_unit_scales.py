"""What gti5801 asks of a program: five bits, scales of one, shifts of 0 to 12, kernels of codes."""

import dataclasses

import numpy as np
import pytest

from hatlite.errors import ProgramError
from hatlite.march import get_march
from hatlite.program import Conv2d, IntProgram, MaxPool2d, Port, Requantize, TensorType, Weight, dumps, loads, verify
from hatlite.program.bounds import accumulator_peak
from hatlite.program.proofs import accumulator_of

FIVE = TensorType((4, 4, 1), "uint8", 1.0, (0, 31))
TEN = TensorType((4, 4, 1), "int16", 1 / 32, (0, 1023))
KERNEL = np.array([[0, 5, -10], [20, -20, 5], [0, 0, 10]]).reshape(1, 3, 3, 1)


def codes(values=KERNEL):
    return Weight(values, encoding="codebook", granularity="per_kernel")


def program(x=FIVE, y=FIVE, gain=None, **fields):
    high = y.limits[1]
    parts = {"bias": [2**19 - 1], "weight": codes(), "requantize": Requantize(1, 7, 0, high, bias_bits=20)}
    op = Conv2d(name="c", inputs=("x",), output="y", padding=(1, 1), **{**parts, **fields})
    ports = (Port("img", "x", x.dtype, x.scale),), (Port("out", "y", y.dtype, y.scale if gain is None else gain),)
    return IntProgram("net", "gti5801", *ports, (op,), {"x": x, "y": y})


def rule(multiplier=1, shift=7, **fields):
    return Requantize(multiplier, shift, *fields.pop("clamp", (0, 31)), **{"bias_bits": 20, **fields})


VALID = {
    "codes": lambda: program(),
    "all integers": lambda: program(weight=Weight(KERNEL + 1)),
    "a shift of 0": lambda: program(requantize=rule(shift=0)),
    "a shift of 12": lambda: program(requantize=rule(shift=12)),
    "ten bits that leave": lambda: program(y=TEN),
    "ten bits and a shift of 0": lambda: program(y=TEN, requantize=rule(32, 0, clamp=(0, 1023))),
    "a gain for each channel": lambda: program(y=TEN, gain=[0.7]),
}


@pytest.mark.parametrize("name", VALID)
def test_what_the_march_has(name):
    made = VALID[name]()
    assert dumps(loads(dumps(made))) == dumps(made)


def _reads_ten_bits():
    made = program(y=TEN)
    pool = MaxPool2d(name="p", inputs=("y",), output="z", kernel=(1, 1), stride=(1, 1))
    return dataclasses.replace(made, ops=(*made.ops, pool), values=made.values | {"z": TEN})


INVALID = {
    "'x' has the scale 0.5; the march has 1 only, as the gain edit makes it, which folds real": lambda: program(
        x=TensorType((4, 4, 1), "uint8", 0.5, (0, 31))
    ),
    "'y' has the scale 1; the march has 0.03125 only": lambda: program(y=dataclasses.replace(TEN, scale=1.0)),
    r"'x' reaches from 0 to 255; the march has 0…31": lambda: program(x=TensorType((4, 4, 1), "uint8", 1.0)),
    r"'y' reaches from 0 to 2047; the march has 0…1023": lambda: program(y=dataclasses.replace(TEN, clamp=(0, 2047))),
    r"clamps to 0…40, beyond uint8 of 0…31": lambda: program(requantize=rule(clamp=(0, 40))),
    "magnitudes are not 0, 1, 2, 4 times one step": lambda: program(weight=codes(KERNEL * 3 + 1)),
    "has weights of int16; the march has kernel3 and int8": lambda: program(weight=Weight(KERNEL.astype(np.int16))),
    r"biases reach from 524288 to 524288; behind uint8 the march has 20 bits": lambda: program(bias=[2**19]),
    "shift reaches from 13 to 13; expected 0…12": lambda: program(requantize=rule(shift=13)),
    r"has weights in steps of 2\^−\(13\); the march has shifts of 0…12": lambda: program(
        y=TEN, requantize=rule(shift=8, clamp=(0, 1023))
    ),
    r"has weights in steps of 2\^−\(-1\); the march has shifts of 0…12": lambda: program(requantize=rule(2, 0)),
    "reads 'y' of dtype int16; expected one of uint8": _reads_ten_bits,
    "output 'out' is int8; march gti5801 has uint8, int16": lambda: program(
        y=TensorType((4, 4, 1), "int8", 1.0, (0, 31))
    ),
    "output 'out' and its value 'y' differ in dtype or scale": lambda: program(gain=[1.0, 2.0]),
}


@pytest.mark.parametrize("text", INVALID)
def test_what_the_march_does_not_have(text):
    with pytest.raises(ProgramError, match=text):
        verify(INVALID[text]())


def test_accumulators_reach_as_far_as_five_bits_do():
    (op,) = program().ops
    assert accumulator_peak(op, FIVE.limits).tolist() == [70 * 31 + 2**19 - 1]
    found = accumulator_of(op, [FIVE])
    assert (found.low.tolist(), found.high.tolist()) == ([-30 * 31 + 2**19 - 1], [40 * 31 + 2**19 - 1])


def test_every_layer_of_the_march_is_exact_in_float32():
    arithmetic = get_march("gti5801").arithmetic
    reach = 256 * 9 * arithmetic.weight_range("int8")[1] * 31 + 2 ** (arithmetic.bias_bits - 1)
    assert reach == 9595136 < 2**24


def test_a_clamp_lies_in_its_type():
    assert TensorType((1, 1, 1), "uint8", 1.0, (0, 255)).clamp is None
    assert (TEN.limits, TEN.magnitude, TensorType((1, 1, 1), "int8", 1.0).magnitude) == ((0, 1023), 1023, 128)
    for clamp in ((0, 256), (-1, 5), (5, 5)):
        with pytest.raises(ProgramError, match=r"value: clamp is \(.*\); expected two rising integers of uint8"):
            TensorType((1, 1, 1), "uint8", 1.0, clamp)
