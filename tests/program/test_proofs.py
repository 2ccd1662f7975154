"""What is called proven is true for every accumulator that was tried, and what is refused has a counterexample."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.executor import Executor, check_engines
from hatlite.export.proof import as_convolution, certified, is_convolution
from hatlite.ops.integer.certificate import thresholds
from hatlite.ops.integer.engine_rules import CONV_RULES, FLOAT32_FLOOR, Channels
from hatlite.ops.integer.fixed_point import half_of, requantize
from hatlite.program import Add, Conv2d, IntProgram, Port, Requantize, TensorType, Weight
from hatlite.program.proofs import accumulator_of, proofs_of
from hatlite.program.samples import random_inputs, random_program

SEEDS = st.integers(0, 2**31)


def asked(program):
    """Yield every operator with the types around it and what is proven of it, by rule."""
    for op in program.ops:
        inputs, output = [program.values[name] for name in op.inputs], program.values[op.output]
        yield op, inputs, output, {proof.rule: proof for proof in proofs_of(op, inputs, output)}


def rounded(rule, op, acc, channel, bias):
    """Return what `rule` and the definition make of accumulators of one channel."""
    m, s = (np.resize(values, channel + 1)[channel] for values in (op.requantize.multiplier, op.requantize.shift))
    clamp = (op.requantize.quant_min, op.requantize.quant_max)
    facts = Channels(np.array([[np.ldexp(float(m), -s)]], np.float32), np.array([[bias]]), signed=clamp[0] < 0)
    steps = thresholds(m, s, clamp)[0]
    acc = np.unique(np.concatenate([acc, np.clip(np.concatenate([steps, steps - 1]), acc.min(), acc.max())]))
    return np.clip(rule.round(acc[None], facts)[0], *clamp), requantize(acc, m, s, *clamp)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(SEEDS)
def test_thresholds_are_right_about_every_accumulator_that_is_tried(seed):
    program = random_program(seed)
    for op, inputs, _, proofs in asked(program):
        if isinstance(op, Add) or getattr(op, "requantize", None) is None:
            continue
        acc = accumulator_of(op, inputs)
        for rule in CONV_RULES:
            proof = proofs[rule.name]
            for channel in np.flatnonzero(proof.proven):
                low, high = (int(np.resize(side, channel + 1)[channel]) for side in (acc.low, acc.high))
                drawn = np.r_[low, np.random.default_rng(seed).integers(low, high + 1, 200), high]
                bias = op.bias[channel] if hasattr(op, "bias") else 0
                np.testing.assert_array_equal(*rounded(rule, op, drawn, channel, bias))
            found = re.search(r"channel (\d+) rounds the accumulator (-?\d+) to (-?\d+) and not to (-?\d+)", proof.why)
            if found:
                channel, one, got, defined = map(int, found.groups())
                assert not proof.proven[channel] and np.resize(acc.low, channel + 1)[channel] <= one
                bias = op.bias[channel] if hasattr(op, "bias") else 0
                results = rounded(rule, op, np.array([one]), channel, bias)
                assert [int(side[0]) for side in results] == [got, defined] and got != defined


@settings(max_examples=30, derandomize=True, deadline=None)
@given(SEEDS)
def test_no_value_leaves_the_stated_range(seed):
    program = random_program(seed)
    values = Executor(program, "reference").run(random_inputs(program, seed, 3), keep="all")
    for op, inputs, _, proofs in asked(program):
        assert proofs.get("int64", proofs.get("any")).proven.all()
        if isinstance(op, Conv2d) and op.requantize is None:
            acc = accumulator_of(op, inputs)
            ends = [np.maximum(end, acc.low.min() if op.activation_min is None else 0) for end in (acc.low, acc.high)]
            assert (values[op.output] >= ends[0]).all() and (values[op.output] <= ends[1]).all()
            assert (np.abs(acc.low) <= acc.peak).all() and (np.abs(acc.high) <= acc.peak).all()


@settings(max_examples=25, derandomize=True, deadline=None)
@given(SEEDS)
def test_engines_and_export_take_what_is_proven(seed):
    program = random_program(seed)
    usable = {check.engine for check in check_engines() if check.usable}
    kernels = Executor(program, "onednn").kernels if "onednn" in usable else {}
    for op, inputs, output, proofs in asked(program):
        proven = {rule: bool(proof.proven.all()) for rule, proof in proofs.items()}
        if op.kind in ("conv2d", "linear", "rescale", "resize_bilinear2x") and op.requantize is not None and kernels:
            assert (kernels[op.name] == "fused") == proven["onednn"], op.name
        if op.kind == "add" and proven["onednn"] and proven["onednn_fused"] and kernels:
            assert kernels[op.name] == "fused"
        if is_convolution(op, inputs[0]) and op.requantize is not None and inputs[0].dtype in ("int8", "uint8"):
            assert certified(as_convolution(op, inputs[0]), inputs[0], output) == proven["float32"]


def one_conv(weights, bias, rule, x="int8", y="int8"):
    op = Conv2d(name="c", inputs=("x",), output="y", weight=Weight(weights), bias=bias, requantize=rule)
    values = {"x": TensorType((1, 1, op.weight.values.shape[3]), x, 1.0), "y": TensorType((1, 1, len(bias)), y, 1.0)}
    ports = (Port("img", "x", x, 1.0),), (Port("out", "y", y, 1.0),)
    return IntProgram("one", "bayes-sim", *ports, (op,), values)


def test_dead_channels_negative_weights_and_huge_biases_by_hand():
    weights = np.array([0, 0, -127, 127]).reshape(4, 1, 1, 1)
    bias = np.array([0, 2**22, -(2**22), 5])
    program = one_conv(weights, bias, Requantize([16385], [20], -128, 127))
    ((op, inputs, _, proofs),) = asked(program)
    acc = accumulator_of(op, inputs)
    assert acc.low.tolist() == [0, 2**22, -(2**22) - 127 * 127, 5 - 127 * 128]
    assert acc.high.tolist() == [0, 2**22, -(2**22) + 127 * 128, 5 + 127 * 127]
    assert acc.peak.tolist() == [0, 2**22, 2**22 + 127 * 128, 5 + 127 * 128]
    assert (acc.worst, acc.bits, acc.float32_exact) == (2**22 + 127 * 127, 24, True)
    assert all(proof.proven.tolist() == [True] * 4 for proof in proofs.values())
    assert [proof.method for proof in proofs.values()] == ["definition", "exact", "thresholds", "thresholds"]


def test_sums_that_float_types_do_not_hold():
    large = one_conv(np.full((1, 1, 1, 2**10), 127), [0], None, "uint8", "int32")
    ((op, inputs, _, proofs),) = asked(large)
    assert accumulator_of(op, inputs).worst == 127 * 255 * 2**10 and not accumulator_of(op, inputs).float32_exact
    assert {rule: bool(proof.proven.all()) for rule, proof in proofs.items()} == {
        "int64": True,
        "float64": True,
        "float32": False,
        "onednn": False,
    }
    assert proofs["float32"].why == "the sum can leave the integers that it holds exactly"


@pytest.mark.parametrize(
    ("x", "y", "clamp", "rule", "why"),
    [
        ("int8", "int16", (-(2**15), 2**15 - 1), "float32", "results of 16 bits can be ties"),
        ("int16", "int8", (-128, 127), "onednn", "it carries 8-bit values only"),
        ("int8", "int8", (0, 127), "onednn", "it saturates at the ends of its type"),
    ],
)
def test_what_a_rule_cannot_be_asked_has_a_reason_and_a_remedy(x, y, clamp, rule, why):
    ((*_, proofs),) = asked(one_conv(np.ones((2, 1, 1, 3)), [0, 1], Requantize([16385], [15], *clamp), x, y))
    assert not proofs[rule].proven.any() and proofs[rule].why.startswith(why) and proofs[rule].remedy
    assert proofs["float64"].proven.all() and not proofs["float64"].why


@pytest.mark.parametrize("y", ["int8", "int32"])
def test_an_engine_of_bytes_reads_no_16_bit_weights(y):
    weights = np.full((2, 1, 1, 3), 2**15 - 1, np.int16)
    rule = Requantize([1], [20], -128, 127, bias_bits=32) if y == "int8" else None
    ((*_, proofs),) = asked(one_conv(weights, [0, 1], rule, "int8", y))
    assert not proofs["onednn"].proven.any() and proofs["onednn"].why == "it carries 8-bit values only"
    assert proofs["onednn"].remedy.startswith("give the layer 8-bit inputs and weights")
    assert proofs["float32"].proven.all() == (y == "int32") and proofs["float64"].proven.all()


def test_an_addition_is_one_proof_for_all_channels(program):
    inputs, output = [program.values["a"]] * 2, program.values["b"]
    add = program.ops[1]
    proofs = {proof.rule: proof for proof in proofs_of(add, inputs, output)}
    assert {proof.method for proof in proofs.values()} == {"definition", "exact", "65,536 pairs"}
    assert all(len(proof.proven) == 4 for proof in proofs.values())
    halves = dataclasses.replace(add, multipliers=(2**19, 2**19))  # (a + b) / 2: ties that floats round to even
    refused = {proof.rule: proof for proof in proofs_of(halves, inputs, output)}
    assert refused["float64"].proven.all() and not refused["float32"].proven.any()
    assert refused["float32"].why == "it steps elsewhere than the definition"


def test_selection_and_tables_are_exact_for_all():
    kinds = {}
    for seed in range(12):
        for op, *_, proofs in asked(random_program(seed)):
            if list(proofs) == ["any"]:
                kinds[op.kind] = proofs["any"].method
    selection = dict.fromkeys(("max_pool2d", "resize_nearest", "concat", "pad", "slice", "depth_to_space"), "selection")
    assert kinds == {**selection, "lut": "256 entries"}


@settings(max_examples=25, derandomize=True, deadline=None)
@given(SEEDS)
def test_where_only_shifts_happen_a_floor_in_float32_is_the_definition(seed):
    """Every accumulator near a threshold and near the ends; an addition as the sum that its multipliers make."""
    program = random_program(seed, march="tidl")
    for op, inputs, _, proofs in asked(program):
        if getattr(op, "requantize", None) is None:
            continue
        acc, proof = accumulator_of(op, inputs), proofs[FLOAT32_FLOOR.name]
        gain = op.requantize.multiplier.max()
        assert proof.proven.all() or acc.peak.max() * gain + half_of(op.requantize.shift).max() >= 2**23
        for channel in np.flatnonzero(proof.proven):
            low, high = (int(np.resize(side, channel + 1)[channel]) for side in (acc.low, acc.high))
            drawn = np.r_[low, np.random.default_rng(seed).integers(low, high + 1, 200), high]
            np.testing.assert_array_equal(*rounded(FLOAT32_FLOOR, op, drawn, channel, 0))
