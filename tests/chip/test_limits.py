"""Every limit, and what is said where it is exceeded."""

from dataclasses import replace

import numpy as np
import pytest
from gnetdet_programs import NARROW, WIDE, changed, gnetdet_program

from hatlite.chip.limits import FILTER_BYTES, MAX_CLASSES, filter_bytes, limit_problems, require_limits
from hatlite.chip.majors import layers_of
from hatlite.errors import MarchError
from hatlite.program import Requantize, TensorType, Weight
from hatlite.program.samples import random_program


def only(program):
    """Return the one problem that a program has."""
    (problem,) = limit_problems(program)
    return problem


@pytest.mark.parametrize("size", [224, 448])
@pytest.mark.parametrize("ten_bits", [False, True])
def test_what_fits(size, ten_bits):
    coded = 15 if ten_bits and size == 448 else 13
    program = gnetdet_program(size, ten_bits=ten_bits, coded=coded)
    assert limit_problems(program) == []
    require_limits(program)


def test_several_limits_are_told_together():
    program = gnetdet_program(448, ("a", "b"), image_format="GRAY", caps=[1.0])
    with pytest.raises(MarchError) as caught:
        require_limits(program)
    first, *lines = str(caught.value).split("\n")
    assert first == "gnetdet does not fit the GTI 5801 in 2 ways:"
    assert lines[0] == "- its image_format is 'GRAY'; expected one of BGR, RGB, YUV, set it in the config's model."
    assert lines[1].startswith(
        "- its caps are [1.0]; expected 16 numbers above 0, one for each ReLU, which the gain edit"
    )


def test_one_limit_is_one_sentence():
    program = gnetdet_program(classes=["c"] * 3)
    program = replace(program, metadata={**program.metadata, "classes": ["a"]})
    with pytest.raises(
        MarchError, match=r"^gnetdet does not fit the GTI 5801: its head makes 13 channels; expected 10"
    ):
        require_limits(program)


def test_another_march():
    assert only(random_program(0)) == (
        "it was lowered for march 'bayes-sim'; set march = 'gti5801' in the config and train for it"
    )


# ---------------------------------------------------------------------------------------------- the whole program


def test_256_classes_do_not_fit():
    names = [f"c{i}" for i in range(256)]
    assert only(gnetdet_program(224, names)) == (
        "it has 256 classes, and 245 are the most: the head makes 10 + C channels, and the power of two strictly above"
        " that must be 256 or less. The 256 classes that GNetDet's README states would need 266 channels; join or leave"
        " out classes"
    )
    assert MAX_CLASSES == 245
    assert limit_problems(gnetdet_program(224, names[:245])) == []
    assert only(gnetdet_program(224, names[:246])).startswith("it has 246 classes, and 245 are the most")


@pytest.mark.parametrize("classes", [None, [], "head"])
def test_classes_are_named(classes):
    program = gnetdet_program()
    program = replace(program, metadata={**program.metadata, "classes": classes})
    assert only(program) == (f"its classes are {classes!r}; name them in the config, the model carries their names")


def test_image_sizes():
    smaller = gnetdet_program(224, widths=NARROW[3:], pooled=())
    image = replace(smaller, values={**smaller.values, "img": TensorType((320, 320, 3), "uint8", 1.0)})
    assert limit_problems(image)[0] == (
        "its image is 320×320 with 3 channels; the chip takes 224×224 or 448×448 with 3"
    )
    wide = replace(smaller, values={**smaller.values, "img": TensorType((224, 448, 3), "uint8", 1.0)})
    assert limit_problems(wide)[0].startswith("its image is 224×448 with 3 channels")


@pytest.mark.parametrize("caps", [None, [], [1.0] * 15, [1.0] * 15 + [0.0], [1.0] * 15 + ["2"]])
def test_caps(caps):
    program = gnetdet_program()
    text = only(replace(program, metadata={**program.metadata, "caps": caps}))
    assert text.startswith("its caps are ") and "expected 16 numbers above 0, one for each ReLU" in text
    assert text.endswith("lower a checkpoint of step 4 (qat_31)")


def test_ten_bits_at_448_want_the_sixth():
    text = only(gnetdet_program(448, ten_bits=True))
    assert text.startswith(
        "its 10-bit output must stand alone in the last major layer, and the layers before it fill all 7:"
        " 1: backbone.conv0 (448×448, 4 channels of 3 bits); 2: backbone.conv1 (224×224, 4 channels of 3 bits);"
    )
    assert "7: backbone.conv13, backbone.conv14 (14×14, 16 channels of 8 bits); 8: head.conv15 (14×14," in text
    assert text.endswith(
        "Give the layers before the head 3-bit weights, so that they join those before them, or take an output of 5"
        " bits"
    )


def test_seven_major_layers():
    text = only(gnetdet_program(448, widths=(*NARROW[:8], 32, *NARROW[9:])))
    assert text.startswith(
        "it needs 9 major layers, and the chip has 7: 1: backbone.conv0 (448×448, 4 channels of 3 bits);"
    )
    assert text.endswith(
        "One takes up to 12 layers with maps of one size, as many channels and weights of as many bits; make more of"
        " them alike"
    )


def test_one_kind_of_pooling():
    program = gnetdet_program(224)
    strided = changed(program, "backbone.conv1", stride=(2, 2))
    text = limit_problems(strided)[0]
    assert text == (
        "backbone.pool1, backbone.pool3, backbone.pool6, backbone.pool9 take the largest of four pixels and"
        " backbone.conv1 every second one; the chip has one kind of pooling for the whole model, use max pools or"
        " strides"
    )


def test_memory_of_filters():
    layers = layers_of(gnetdet_program(448, widths=WIDE, classes=["c"] * 20))
    assert filter_bytes(layers) == (585_920 * 35 + 196_608 * 72) // 8 == 4_332_872
    all_bytes = gnetdet_program(448, widths=WIDE, coded=0)
    taken = (585_920 + 196_608) * 9
    assert (
        f"its weights take {taken:,} bytes, and the chip holds 6,553,600; make the widest layers narrower"
        in "".join(limit_problems(all_bytes))
    )
    assert FILTER_BYTES == 6_553_600 < taken


def test_ten_bits_only_at_the_end():
    program = gnetdet_program(224)
    values = {**program.values, "backbone.conv14": TensorType((14, 14, 16), "int16", 1 / 32)}
    assert "backbone.conv14 has a 10-bit result, which only the last layer may have; give it 5 bits" in limit_problems(
        replace(program, values=values)
    )


def test_ten_bits_reach_as_far_as_they_can():
    program = changed(gnetdet_program(224, ten_bits=True), "head.conv15", requantize=Requantize([1], [0], 0, 31))
    assert only(program) == "head.conv15: its result is 0…31; the chip has 0…1023, put a ReLU behind it"


def test_nothing_behind_the_last_layer_makes_it_smaller():
    program = changed(gnetdet_program(224), "head.conv15", stride=(2, 2))
    assert "head.conv15 makes its map smaller, and the output leaves right behind the last layer" in limit_problems(
        program
    )


# ------------------------------------------------------------------------------------------------------ the chain


def test_chains_only():
    program = gnetdet_program(224)
    conv0, conv1, pool1, *rest = program.ops
    cases = (
        (replace(program, outputs=program.outputs * 2), "it has 2 outputs; the chip has one"),
        (replace(program, inputs=program.inputs * 2), "it has 2 inputs; the chip has one"),
        (
            replace(program, ops=(conv0, replace(conv1, inputs=("img",)), pool1, *rest)),
            "backbone.conv1 reads img and not",
        ),
        (
            replace(program, ops=(pool1, conv0, conv1, *rest)),
            "backbone.pool1 pools, and no convolution stands right before",
        ),
        (
            replace(program, ops=program.ops[:-1]),
            "its output is head.conv15 and not backbone.conv14, the result of its",
        ),
    )
    for broken, text in cases:
        assert any(problem.startswith(text) for problem in limit_problems(broken)), text


def test_other_operators():
    program = replace(random_program(0, kinds=["add"]), march="gti5801")
    assert "add_1 is a add; the chip has convolutions and max pools, use these" in limit_problems(program)


# --------------------------------------------------------------------------------------------------- of one layer


def weights(program, name, shape, values=1):
    (op,) = (op for op in program.ops if op.name == name)
    return replace(op.weight, values=np.full(shape, values, np.int8), scale=None)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"padding": (0, 0)}, "its padding is (0, 0); the chip keeps the size of the map, set padding=1"),
        ({"stride": (3, 3)}, "its stride is (3, 3); the chip has 1 and 2, take the step in two layers"),
        ({"stride": (1, 2)}, "its stride is (1, 2); the chip has 1 and 2, take the step in two layers"),
        ({"dilation": (2, 2)}, "its dilation is (2, 2) with 1 groups; the chip has neither, leave them at 1"),
        ({"groups": 2}, "its dilation is (1, 1) with 2 groups; the chip has neither, leave them at 1"),
        ({"requantize": None}, "its result is the whole sum; the chip has 0…31, put a ReLU behind it"),
        (
            {"requantize": Requantize([1], [5], -31, 31)},
            "its result is -31…31; the chip has 0…31, put a ReLU behind it",
        ),
        ({"requantize": Requantize([1], [5], 0, 63)}, "its result is 0…63; the chip has 0…31, put a ReLU behind it"),
        (
            {"requantize": Requantize([1], [13], 0, 31)},
            "its shift is 13; expected one number of 0…12 (the chip has 15, and sums may overflow above 12), quantise"
            " its weights anew",
        ),
        ({"requantize": Requantize([2], [0], 0, 31)}, "its shift is -1; expected one number of 0…12"),
        ({"requantize": Requantize([1, 1], [3, 4], 0, 31)}, "its shift is [3, 4]; expected one number of 0…12"),
        (
            {"weight": Weight(np.ones((4, 5, 5, 4), np.int8))},
            "its kernel is 5×5; the chip has 1×1 and 3×3, stack smaller",
        ),
        (
            {"weight": Weight(np.ones((4, 1, 3, 4), np.int8))},
            "its kernel is 1×3; the chip has 1×1 and 3×3, stack smaller",
        ),
        ({"weight": Weight(np.ones((4, 3, 3, 4), np.int16))}, "its weights have 16 bits; the chip has 3 and 8"),
    ],
)
def test_what_a_layer_may_be(fields, text):
    found = limit_problems(changed(gnetdet_program(224), "backbone.conv1", **fields))
    assert any(problem.startswith(f"backbone.conv1: {text}") for problem in found), found


@pytest.mark.parametrize("fields", [{"kernel": (3, 3)}, {"stride": (1, 1)}, {"padding": (1, 1)}])
def test_pools(fields):
    found = limit_problems(changed(gnetdet_program(224), "backbone.pool3", **fields))
    assert len(found) == 1 and found[0].startswith("backbone.conv3: backbone.pool3 behind it is (")
    assert found[0].endswith("; the chip has 2×2 with stride 2, and no padding")


@pytest.mark.parametrize(("width", "fits"), [(4, True), (2, False), (24, False), (1024, True), (2048, False)])
def test_widths(width, fits):
    found = limit_problems(gnetdet_program(224, widths=(width, *NARROW[1:])))
    text = f"backbone.conv0: it makes {width} channels; the chip has powers of two from 4 to 1024, round the width up"
    assert found == [] if fits else text in found


def test_sizes_of_maps():
    program = gnetdet_program(224, widths=NARROW, pooled=(1, 3, 6, 9, 11))
    assert any(
        problem.startswith("backbone.conv12: its map is 7×7; the chip has 14, 28, 56, 112, 224, 448, both sides alike")
        for problem in limit_problems(program)
    )
