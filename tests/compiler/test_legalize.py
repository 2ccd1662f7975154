"""What a march cannot do is found, operator by operator."""

import dataclasses
from typing import Any

import pytest
from single_op_programs import MARCH, SOURCE, VECTOR_OPS, conv, program

from hatlite.compiler import LIMITS, legalize
from hatlite.march import March, get_march
from hatlite.program import OPERATORS, MaxPool2d, Operator


def small_march() -> March:
    limits = dataclasses.replace(MARCH.limits, kernel=3, stride=2, dilation=1, channels=32, side=16, resize_factor=1)
    return dataclasses.replace(MARCH, limits=limits)


@pytest.mark.parametrize(
    ("op", "into", "out", "found"),
    [
        (conv(), (16, 16, 16), (16, 16, 32), []),
        (conv(kernel=5), (16, 16, 16), (16, 16, 32), [("kernel", 5, 3)]),
        (conv(stride=(1, 4), dilation=(2, 1)), (16, 16, 16), (14, 4, 32), [("stride", 4, 2), ("dilation", 2, 1)]),
        (conv(16, 64), (16, 16, 16), (16, 16, 64), [("output channels", 64, 32)]),
        (conv(), (16, 17, 16), (16, 17, 32), [("input side", 17, 16), ("output side", 17, 16)]),
        (VECTOR_OPS[2][0], (8, 8, 1), (16, 16, 1), [("resize factor", 2, 1)]),
        (VECTOR_OPS[1][0], (8, 8, 4), (4, 4, 4), []),
    ],
)
def test_limits_are_found_one_by_one(op: Operator, into: Any, out: Any, found: list[tuple[str, int, int]]) -> None:
    findings = legalize(program(op, into, out), small_march())
    assert [(f.limit, f.value, f.allowed) for f in findings] == found
    assert all(f.remedy for f in findings)


def test_a_finding_says_where_and_how_much() -> None:
    (finding,) = legalize(program(conv(kernel=5), (16, 16, 16), (16, 16, 32)), small_march())
    assert str(finding) == "c (conv2d, head.cls, fcos_head.py:31): kernel is 5, the march allows at most 3."


def test_every_operator_has_a_row() -> None:
    assert set(LIMITS) == set(OPERATORS.values())


def pool(side: int, step: int) -> MaxPool2d:
    return MaxPool2d(name="p", inputs=("x",), output="y", source=SOURCE, kernel=(side, 2), stride=(step, step))


class Softmax(Operator):
    """Something that no march has."""


def test_an_unknown_operator_is_found() -> None:
    op = Softmax(name="s", inputs=("x",), output="y", source=SOURCE)
    (finding,) = legalize(program(op, (1, 1, 4), (1, 1, 4)), MARCH)
    assert str(finding).endswith("(, head.cls, fcos_head.py:31): the march has no such operator.")
    assert finding.remedy == "use another operator, or another march"


@pytest.mark.parametrize(
    ("op", "into", "out", "texts"),
    [
        (conv(kernel=3), (16, 16, 16), (16, 16, 32), []),
        (conv(kernel=2), (16, 16, 16), (15, 15, 32), ["kernel side is 2, the march has 1 and 3 only"]),
        (conv(kernel=5), (16, 16, 16), (16, 16, 32), ["kernel side is 5, the march has 1 and 3 only"]),
        (conv(8, 32, groups=2), (16, 16, 16), (16, 16, 32), ["groups is 2, the march allows at most 1"]),
        (conv(16, 2048), (16, 16, 16), (16, 16, 2048), ["output channels is 2048, the march allows at most 1024"]),
        (pool(2, 2), (8, 8, 4), (4, 4, 4), []),
        (
            pool(3, 1),
            (8, 8, 4),
            (6, 8, 4),
            ["pool window is 3, the march has 2 only", "pool step is 1, the march has 2"],
        ),
        (VECTOR_OPS[2][0], (8, 8, 1), (16, 16, 1), ["the march has no such operator"]),
    ],
)
def test_gti5801_has_some_windows_only(op: Operator, into: Any, out: Any, texts: list[str]) -> None:
    findings = legalize(program(op, into, out), get_march("gti5801"))
    assert len(findings) == len(texts) and all(text in str(f) for f, text in zip(findings, texts, strict=True))
    assert all(f.remedy for f in findings)
