import dataclasses

import numpy as np

from hatlite.program import (
    DepthToSpace,
    Linear,
    Pad,
    Requantize,
    ResizeNearest,
    Slice,
    Source,
    TensorType,
    Weight,
    format_program,
)


def test_listing_by_hand(program):
    assert format_program(program).splitlines() == [
        "program tiny for bayes-sim: 4 operators",
        "  %0 = input 'img' [7,5,2] int8 s=0.0078125",
        "  %1 = conv2d %0 3x3 /2 p1 relu [4,3,4] uint8 s=0.1  # backbone.stem net.py:31",
        "  %2 = add %1 %1 Ma=524288 Mb=7 [4,3,4] uint8 s=0.2  # source unknown",
        "  %3 = max_pool2d %2 3x3 /2 p1 [2,2,4] uint8 s=0.2  # source unknown",
        "  %4 = conv2d %0 3x3 p1 relu [7,5,4] int32 s=0.1…0.4 per channel  # head.raw net.py:40",
        "  return %3 as 'features_s4' uint8 s=0.2 stride=4",
        "  return %4 as 'raw_s1' int32 s=0.1…0.4 per channel stride=1",
    ]


def test_the_other_operators(program):
    rule = Requantize([16385], [20], -128, 127)
    ops = (
        ResizeNearest(name="up", inputs=("img",), output="a", factor=2),
        Linear(
            name="fc",
            inputs=("a",),
            output="b",
            weight=Weight(np.array([[[[1, 2]]]], np.int16)),
            bias=[0],
            requantize=rule,
            source=Source("head.fc"),
        ),
        dataclasses.replace(program.ops[0], output="c", stride=(1, 2), dilation=(2, 2), groups=2),
    )
    values = {**program.values, "b": TensorType((14, 10, 1), "int8", 0.5)}
    text = format_program(dataclasses.replace(program, ops=ops, values=values, outputs=()))
    assert "%1 = resize_nearest %0 x2 [" in text
    assert "%2 = linear %1 w=int16 [14,10,1] int8 s=0.5  # head.fc\n" in text
    assert "conv2d %0 3x3 /1x2 p1 d2 g2 relu [" in text


def test_a_pad_shows_its_edges(program):
    ops = (Pad(name="p", inputs=("img",), output="a", edges=(0, 1, 2, 3)),)
    assert " = pad %0 0x1x2x3 [" in format_program(dataclasses.replace(program, ops=ops, outputs=()))


def test_parts_and_blocks_show_what_they_take(program):
    part = Slice(name="s", inputs=("img",), output="a", start=(0, 1, 0), stop=(7, 5, 1), step=(1, 2, 1))
    blocks = DepthToSpace(name="d", inputs=("a",), output="b", block=(2, 1))
    text = format_program(dataclasses.replace(program, ops=(part, blocks), outputs=()))
    assert " = slice %0 [0:7,1:5:2,0:1] [" in text and " = depth_to_space %1 2x1 [" in text
