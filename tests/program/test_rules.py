"""Each rule of an operator, by a program that breaks it; the message carries operator, module path and line."""

import dataclasses

import numpy as np
import pytest

from hatlite.errors import ProgramError
from hatlite.program import (
    Concat,
    DepthToSpace,
    IntProgram,
    Linear,
    Lut,
    MaxPool2d,
    Mul,
    Operator,
    Pad,
    Port,
    Requantize,
    Rescale,
    ResizeNearest,
    Slice,
    Source,
    Sub,
    TensorType,
    Weight,
    verify,
)

STEM, ADD, POOL, RAW = range(4)


def rule(multiplier=16385, shift=20, low=0, high=255, **fields):
    return Requantize(multiplier, shift, low, high, **fields)


def weight(*shape, value=1):
    return Weight(np.full(shape, value))


BROKEN_OPS = [
    (ADD, {"inputs": ("a",)}, "reads 1 values; expected 2"),
    (POOL, {"inputs": ("b", "b")}, "reads 2 values; expected 1"),
    (STEM, {"stride": (0, 1)}, r"stride is \(0, 1\); expected two whole numbers of 1 or more"),
    (STEM, {"padding": (-1, 1)}, r"padding is \(-1, 1\); expected two whole numbers of 0 or more"),
    (STEM, {"dilation": (1, 1, 1)}, r"dilation is \(1, 1, 1\); expected two whole numbers"),
    (POOL, {"kernel": (3, 1.5)}, r"kernel is \(3, 1.5\); expected two whole numbers"),
    (POOL, {"padding": (2, 2)}, r"padding \(2, 2\) is more than half the kernel \(3, 3\)"),
    (STEM, {"groups": 2}, r"weight \(4, 3, 3, 2\) with 2 groups does not fit an input of 2 channels"),
    (STEM, {"groups": "2"}, "groups is '2' and activation_min None; expected whole numbers"),
    (RAW, {"activation_min": 0.5}, "groups is 1 and activation_min 0.5; expected whole numbers"),
    (STEM, {"weight": weight(4, 3, 3, 3)}, r"weight \(4, 3, 3, 3\) with 1 groups does not fit an input of 2 channels"),
    (STEM, {"bias": np.zeros(3)}, r"bias has shape \(3,\); expected \(4,\)"),
    (STEM, {"activation_min": 0}, "has both requantize and activation_min"),
    (STEM, {"stride": (1, 1)}, r"gives \(7, 5, 4\), but 'a' is declared as \(4, 3, 4\)"),
    (RAW, {"requantize": rule(), "activation_min": None}, "requantises to int32; the march has int8, uint8, int16"),
    (STEM, {"requantize": None}, "leaves its accumulator, so 'a' must be int32, not uint8"),
    (STEM, {"requantize": rule(low=-1)}, "clamps to -1…255, beyond uint8"),
    (STEM, {"requantize": rule([16385] * 3, [20] * 3)}, "has 3 multipliers; expected 1 or 4"),
    (
        STEM,
        {"requantize": rule(bias_bits=20)},
        "rounds half_up with a bias of 20 bits; the march rounds half_up with 32",
    ),
    (STEM, {"requantize": rule(shift=47)}, "shift reaches from 47 to 47; expected 1…46"),
    (STEM, {"requantize": rule(shift=0)}, "shift reaches from 0 to 0; expected 1…46"),
    (STEM, {"requantize": rule(2**15 + 1)}, "multiplier 32769 is not an odd number between 16384 and 32768"),
    (STEM, {"requantize": rule(2**14)}, "multiplier 16384 is not an odd number"),
    (STEM, {"requantize": rule(20000)}, "multiplier 20000 is not an odd number"),
    (ADD, {"requantize": rule(3)}, r"requantises with multiplier \[3\]; expected \[1\], as Ma and Mb scale"),
    (ADD, {"multipliers": (2**20, 1)}, r"multipliers are \(1048576, 1\); expected two whole numbers of 0…1048575"),
    (ADD, {"multipliers": (1,)}, r"multipliers are \(1,\); expected two whole numbers"),
    (
        STEM,
        {"bias": np.full(4, 2**31 - 1)},
        "channel 0: the accumulator can reach 2147485951, beyond int32; give the layer fewer input channels, a smaller"
        r" kernel or more groups\.",
    ),
    (
        STEM,
        {"padding": (2**20, 2**20)},
        r"padding \(1048576, 1048576\) makes \(7, 5, 2\) larger than 2147483647 integers",
    ),
    (RAW, {"activation_min": 2**31}, "groups is 1 and activation_min 2147483648; expected whole numbers of int32"),
]


@pytest.mark.parametrize(("index", "fields", "text"), BROKEN_OPS)
def test_a_broken_operator_is_named(program, index, fields, text):
    ops = list(program.ops)
    ops[index] = dataclasses.replace(ops[index], source=Source("backbone.stem", "net.py:31"), **fields)
    where = rf"tiny: {ops[index].kind} '{ops[index].name}' \(backbone.stem net.py:31\): "
    with pytest.raises(ProgramError, match=where + text):
        verify(dataclasses.replace(program, ops=tuple(ops)))


BROKEN_TYPES = [
    ("c", TensorType((2, 2, 4), "uint8", 0.3), "must keep dtype and scale of 'b', but 'c' differs"),
    ("c", TensorType((2, 2, 4), "int8", 0.2), "must keep dtype and scale of 'b', but 'c' differs"),
    ("c", TensorType((3, 2, 4), "uint8", 0.2), r"gives \(2, 2, 4\), but 'c' is declared as \(3, 2, 4\)"),
    (
        "a",
        TensorType((4, 3, 4), "uint8", np.ones(4)),
        "'a' is uint8 with a scale per channel; only int32 may have that",
    ),
    ("c", TensorType((2, 2, 4), "uint8", np.ones(4)), "'c' is uint8 with a scale per channel"),
    ("d", TensorType((7, 5, 4), "int32", np.ones(3)), "'d' has 3 scales for 4 channels"),
    ("d", TensorType((7, 5, 4), "int16", 0.1), "leaves its accumulator, so 'd' must be int32, not int16"),
]


@pytest.mark.parametrize(("name", "value", "text"), BROKEN_TYPES)
def test_a_wrong_type_is_named(program, name, value, text):
    values = {**program.values, name: value}
    outputs = (Port("out", name, value.dtype, value.scale),)
    with pytest.raises(ProgramError, match=text):
        verify(dataclasses.replace(program, values=values, outputs=outputs))


def chain(op, x, y):
    ports = (Port("img", "x", x.dtype, x.scale),), (Port("out", "y", y.dtype, y.scale),)
    return IntProgram("chain", "bayes-sim", *ports, (op,), {"x": x, "y": y})


def value(channels, dtype):
    return TensorType((4, 4, channels), dtype, 1.0)


def linear(channels, bias=0, **fields):
    weights = fields.pop("weight", weight(1, 1, 1, channels, value=127))
    return Linear(name="fc", inputs=("x",), output="y", weight=weights, bias=[bias], **fields)


def test_a_linear_kernel_is_one_pixel():
    op = linear(2, weight=weight(1, 3, 3, 2), requantize=None)
    with pytest.raises(ProgramError, match=r"linear weight has shape \(1, 3, 3, 2\); expected \(O, 1, 1, I\)"):
        verify(chain(op, value(2, "int8"), value(1, "int32")))


def test_wide_inputs_have_a_wide_accumulator_unless_it_leaves():
    verify(chain(linear(600, requantize=rule(shift=30)), value(600, "int16"), value(1, "uint8")))
    with pytest.raises(ProgramError, match="channel 0: .* 2496921600, beyond int32; .* or 8-bit inputs"):
        verify(chain(linear(600, requantize=None), value(600, "int16"), value(1, "int32")))


def test_unequal_summands(program):
    values = {**program.values, "b": program.values["img"]}
    ops = (dataclasses.replace(program.ops[ADD], inputs=("a", "img"), output="b"),)
    broken = dataclasses.replace(
        program, ops=(program.ops[STEM], *ops), values={k: values[k] for k in ("img", "a", "b")}
    )
    with pytest.raises(ProgramError, match=r"adds \(4, 3, 4\) and \(7, 5, 2\); expected one shape"):
        verify(dataclasses.replace(broken, outputs=(Port("out", "b", "int8", 1 / 128),)))


@pytest.mark.parametrize(
    ("inputs", "y", "text"),
    [
        ((), TensorType((4, 3, 8), "uint8", 0.1), "reads 0 values; expected 1 or more"),
        (("a", "img"), TensorType((4, 3, 6), "uint8", 0.1), r"joins \(4, 3, 4\), \(7, 5, 2\); expected one height"),
        (("a", "a"), TensorType((4, 3, 4), "uint8", 0.1), r"gives \(4, 3, 8\), but 'y' is declared as \(4, 3, 4\)"),
        (("a", "b"), TensorType((4, 3, 8), "uint8", 0.1), "must keep dtype and scale of 'b', but 'y' differs"),
    ],
)
def test_what_is_joined_is_alike(program, inputs, y, text):
    op = Concat(name="join", inputs=inputs, output="y")
    with pytest.raises(ProgramError, match=text):
        verify(dataclasses.replace(program, ops=(*program.ops, op), values={**program.values, "y": y}))


def test_unequal_factors_and_differences(program):
    values = {name: program.values[name] for name in ("img", "a")} | {"y": TensorType((4, 3, 4), "uint8", 0.1)}
    fields = {"name": "p", "inputs": ("a", "img"), "output": "y"}
    mul = Mul(**fields, requantize=rule())
    sub = Sub(**fields, requantize=rule(1), multipliers=(5, 7))
    for op, text in (
        (mul, r"multiplies \(4, 3, 4\) by \(7, 5, 2\); expected one shape, or \(1, 1, C\) for the second"),
        (sub, r"subs \(4, 3, 4\) and \(7, 5, 2\); expected one shape"),
    ):
        broken = dataclasses.replace(program, ops=(program.ops[STEM], op), values=values)
        with pytest.raises(ProgramError, match=text):
            verify(dataclasses.replace(broken, outputs=(Port("out", "y", "uint8", 0.1),)))


def test_a_product_has_the_odd_multipliers_of_the_march():
    op = Mul(name="p", inputs=("x", "x"), output="y", requantize=rule(20000))
    with pytest.raises(ProgramError, match="multiplier 20000 is not an odd number"):
        verify(chain(op, value(1, "int8"), value(1, "uint8")))


@pytest.mark.parametrize(
    ("x", "y", "entries", "text"),
    [
        ("int16", "int8", range(256), "looks up int16; a table of 256 entries takes int8 or uint8"),
        ("int8", "int8", range(128), r"table has shape \(128,\); expected \(256,\)"),
        ("int8", "int8", range(256), "table reaches from 0 to 255, beyond int8"),
        ("int8", "int32", range(256), "gives int32; the march has int8, uint8, int16"),
    ],
)
def test_a_table_fits_its_types(x, y, entries, text):
    op = Lut(name="t", inputs=("x",), output="y", table=list(entries))
    with pytest.raises(ProgramError, match=text):
        verify(chain(op, value(1, x), value(1, y)))


@pytest.mark.parametrize("edges", [(0, 1, 2), (0, -1, 0, 0), (0, 1.5, 0, 0)])
def test_edges_are_four_whole_numbers(edges):
    op = Pad(name="p", inputs=("x",), output="y", edges=edges)
    with pytest.raises(ProgramError, match=r"edges are \(.*\); expected four whole numbers of 0 or more"):
        verify(chain(op, value(1, "int8"), value(1, "int8")))


PART = "takes the channels {} of 1; expected 0 ≤ start < stop ≤ 1 and a step ≥ 1"


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        (((0, 0, 0), (1, 1, 1), (1, 1)), r"start, stop and step are \(.*\); expected three whole numbers each"),
        (((0, 0, 0.5), (1, 1, 1), (1, 1, 1)), "expected three whole numbers each"),
        (((0, 0, 0), (1, 1, 2), (1, 1, 1)), PART.format("0:2:1")),
        (((0, 0, 1), (1, 1, 1), (1, 1, 1)), PART.format("1:1:1")),
        (((0, 0, -1), (1, 1, 1), (1, 1, 1)), PART.format("-1:1:1")),
        (((0, 0, 0), (1, 1, 1), (1, 1, 0)), PART.format("0:1:0")),
        (((0, 0, 0), (5, 1, 1), (1, 1, 1)), "takes the rows 0:5:1 of 4; expected"),
    ],
)
def test_a_slice_lies_inside(ends, text):
    op = Slice(name="s", inputs=("x",), output="y", start=ends[0], stop=ends[1], step=ends[2])
    with pytest.raises(ProgramError, match=text):
        verify(chain(op, value(1, "int8"), value(1, "int8")))


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ((2, 2), r"makes blocks of \(2, 2\) from 6 channels; expected a multiple of 4"),
        ((0, 1), r"block is \(0, 1\); expected two whole numbers of 1 or more"),
        ((2, 3), r"gives \(8, 12, 1\), but 'y' is declared as \(4, 4, 6\)"),
    ],
)
def test_blocks_are_made_of_whole_channels(block, text):
    op = DepthToSpace(name="d", inputs=("x",), output="y", block=block)
    with pytest.raises(ProgramError, match=text):
        verify(chain(op, value(6, "int8"), value(6, "int8")))


@pytest.mark.parametrize("kind", [Slice, DepthToSpace])
def test_what_is_moved_keeps_its_type(kind):
    fields = {"start": (0, 0, 0), "stop": (4, 4, 1)} if kind is Slice else {"block": (1, 1)}
    with pytest.raises(ProgramError, match="must keep dtype and scale of 'x', but 'y' differs"):
        verify(chain(kind(name="s", inputs=("x",), output="y", **fields), value(1, "int8"), value(1, "uint8")))


def test_raw_accumulators_are_only_rescaled(program):
    pool = MaxPool2d(name="p", inputs=("d",), output="e", kernel=(1, 1), stride=(1, 1))
    values = {**program.values, "e": program.values["d"]}
    broken = dataclasses.replace(program, ops=(*program.ops, pool), values=values)
    with pytest.raises(ProgramError, match="reads 'd' of dtype int32; expected one of int8, uint8, int16"):
        verify(broken)
    rescale = Rescale(name="p", inputs=("d",), output="e", requantize=rule())
    values["e"] = TensorType((7, 5, 4), "uint8", 1.0)
    verify(dataclasses.replace(broken, ops=(*program.ops, rescale), values=values))


def test_factors_are_whole():
    op = ResizeNearest(name="up", inputs=("x",), output="y", factor=1.5)
    with pytest.raises(ProgramError, match=r"factor is 1.5; expected a whole number of 1 or more"):
        verify(chain(op, value(1, "int8"), value(1, "int8")))


def test_unknown_operators_are_refused():
    class Softmax(Operator):
        kind = "softmax"

    op = Softmax(name="s", inputs=("x",), output="y")
    with pytest.raises(ProgramError, match="operator 'Softmax' is unknown; this version has conv2d, linear, add"):
        verify(chain(op, value(1, "int8"), value(1, "int8")))


def test_headroom_of_64_bits(monkeypatch):
    op = Rescale(name="r", inputs=("x",), output="y", requantize=rule())
    monkeypatch.setattr("hatlite.program.rules._peak", lambda op, inputs: 2**60)
    with pytest.raises(
        ProgramError,
        match=r"channel 0: \|acc\| · M .* must stay below 2\^63 = \d+; give the layer fewer inputs.*scale\.$",
    ):
        verify(chain(op, value(1, "int8"), value(1, "uint8")))
