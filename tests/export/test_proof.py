import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from single_op_programs import conv, program, requantize

from hatlite.export.proof import as_convolution, certified, exact_outputs, golden_scales, shared_scales
from hatlite.ops.integer.certificate import thresholds
from hatlite.ops.integer.fixed_point import requantize as definition
from hatlite.program import Requantize, Rescale, ResizeBilinear2x, TensorType, Weight
from hatlite.program.samples import random_program

BYTE = TensorType((1, 1, 1), "int8", 1 / 128)


def bias_only(bias, multiplier, shift):
    """A convolution whose weight is 1: accumulators −128 + bias … 127 + bias."""
    op = conv(1, 1, 1, requantize=Requantize([multiplier], [shift], -128, 127))
    return as_convolution(dataclasses.replace(op, bias=np.array([bias])), BYTE)


@settings(max_examples=60, deadline=None)
@given(st.integers(-(2**20), 2**20), st.integers(8192, 16383), st.integers(15, 36))
def test_a_certificate_is_a_comparison_of_all_accumulators(bias, half, shift):
    multiplier = 2 * half + 1
    acc = np.arange(bias - 128, bias + 128)
    m = np.float32(np.ldexp(float(multiplier), -shift))
    equal = np.clip(np.rint(acc.astype(np.float32) * m), -128, 127) == definition(acc, multiplier, shift, -128, 127)
    assert certified(bias_only(bias, multiplier, shift), BYTE, BYTE) == equal.all()


def test_multipliers_that_were_not_searched_are_proven_or_not():
    """Accumulators of 20 bits reach every level; about a third of all multipliers round one of them otherwise."""

    def verdict(multiplier):
        op = conv(64, 1, 1, requantize=Requantize([multiplier], [27], -128, 127))
        wide = dataclasses.replace(op, weight=Weight(np.full_like(op.weight.values, 127)))
        return certified(as_convolution(wide, BYTE), BYTE, BYTE)

    assert {verdict(multiplier) for multiplier in range(16385, 16485, 2)} == {True, False}


def test_a_channel_without_weights_is_one_number():
    op = conv(1, 2, 1, requantize=requantize(2))
    dead = dataclasses.replace(op, weight=Weight(np.zeros((2, 1, 1, 1), np.int8)), bias=np.array([96, -3]))
    assert certified(as_convolution(dead, BYTE), BYTE, BYTE)


def test_one_number_that_is_rounded_otherwise_refuses_its_channel():
    """Thresholds of many multipliers, each as the bias of a channel without weights; float32 misses some."""
    multiplier = np.arange(16385, 16485, 2)
    steps = np.concatenate([levels := thresholds(multiplier, np.full(50, 27), (-128, 127)), levels - 1], axis=1)
    bias, multiplier = steps.ravel(), np.repeat(multiplier, steps.shape[1])
    acc = bias.astype(np.float32) * np.ldexp(multiplier.astype(np.float32), -27)
    equal = np.clip(np.rint(acc), -128, 127) == definition(bias, multiplier, np.full(bias.shape, 27), -128, 127)

    def verdict(chosen):
        op = conv(1, len(bias[chosen]), 1)
        rule = Requantize(multiplier[chosen], np.full(len(bias[chosen]), 27), -128, 127)
        dead = dataclasses.replace(
            op, weight=Weight(np.zeros_like(op.weight.values)), bias=bias[chosen], requantize=rule
        )
        return certified(as_convolution(dead, BYTE), BYTE, BYTE)

    wrong = np.flatnonzero(~equal)
    assert len(wrong) > 5 and equal.mean() > 0.9
    assert verdict(equal)
    assert not any(verdict([index]) for index in wrong)
    assert not verdict(slice(None))


@pytest.mark.parametrize(("x", "y"), [("int16", "int8"), ("int8", "int16")])
def test_wide_values_have_no_certificate(x, y):
    convolution = as_convolution(conv(1, 1, 1, requantize=requantize(1)), BYTE)
    assert golden_scales(convolution, TensorType((1, 1, 1), x, 1.0), TensorType((1, 1, 1), y, 1.0)) is None


def test_scales_make_the_multiplier_in_the_formula_of_onnx_runtime():
    op = conv(1, 2, 1, requantize=Requantize([16385, 30001], [20, 21], -128, 127))
    convolution = as_convolution(op, BYTE)
    wanted = np.ldexp([16385.0, 30001.0], [-20, -21]).astype(np.float32)
    scales, exact = shared_scales(convolution, TensorType((1, 1, 1), "int8", 0.25), BYTE)  # powers of two always do
    assert exact and np.array_equal(scales.x * scales.weight / scales.y, wanted)
    golden = golden_scales(convolution, TensorType((1, 1, 1), "int8", 0.3), TensorType((1, 1, 1), "int8", 0.7))
    assert np.array_equal(golden.x * golden.weight / golden.y, wanted)


def test_stored_scales_are_kept_when_they_make_the_multiplier():
    stored = np.ldexp(16385.0, -20)
    op = conv(1, 1, 1, requantize=Requantize([16385], [20], -128, 127))
    op = dataclasses.replace(op, weight=Weight(op.weight.values, [stored]))
    scales, exact = shared_scales(as_convolution(op, BYTE), BYTE, BYTE)
    assert exact and scales.weight.tolist() == [stored]


def test_a_bilinear_resize_and_a_rescale_are_depthwise():
    kind = TensorType((4, 4, 3), "uint8", 1.0)
    bilinear = as_convolution(ResizeBilinear2x(name="b", inputs=("x",), output="y", requantize=requantize()), kind)
    assert bilinear.weight.shape == (3, 1, 3, 3) and bilinear.weight[0].sum() == 16
    rescale = as_convolution(Rescale(name="r", inputs=("x",), output="y", requantize=requantize()), kind)
    assert rescale.weight.tolist() == [[[[1]]]] * 3
    assert [conv.window["group"] for conv in (bilinear, rescale)] == [3, 3]


def test_what_is_promised():
    drawn = random_program(1)
    assert exact_outputs(drawn, "golden") == {"features", "raw"}
    assert "raw" not in exact_outputs(drawn, "qdq")
    certain = program(conv(1, 1, 1, requantize=Requantize([16385], [20], -128, 127)), (2, 2, 1), (2, 2, 1))
    assert exact_outputs(certain, "qdq") == {"out"}
