"""Two places that state one thing."""

import pytest

from hatlite.errors import BuildError
from hatlite.models.agreement import agree, rising_strides


def test_who_is_silent_follows():
    assert agree("x", ("a", 3), ("b", 3)) == 3
    assert agree("x", ("a", 3), ("b", None)) == 3
    assert agree("x", ("a", None), ("b", 4)) == 4
    assert agree("x", ("a", None), ("b", None)) is None


def test_difference_names_both_places():
    text = r"targets.size is 4, but head.size is 3; both state the size.\n  Set targets.size to 3, or leave it out"
    with pytest.raises(BuildError, match=text):
        agree("the size", ("head.size", 3), ("targets.size", 4))


def test_strides_that_rise_stay():
    assert rising_strides("x", [8, 16, 64]) == (8, 16, 64)
    assert rising_strides("x", [8, 64], ("y", [8, 16, 64])) == (8, 64)


@pytest.mark.parametrize(
    ("strides", "offered", "sentence"),
    [
        (
            [8, 16, 16],
            None,
            r"a.strides \[8, 16, 16\] must rise from fine to coarse, each stride once; write \[8, 16\]\.$",
        ),
        ([32, 8], None, r"write \[8, 32\]\.$"),
        ([], None, r"a.strides \[\] must rise .*; write \[8, 16, 32\]\.$"),
        ([0, 8], None, r"write \[8\]\.$"),
        ([8, 12], ("b", (8, 16)), r"a.strides \[8, 12\] must be some of b \[8, 16\] and rise .*; write \[8\]\.$"),
        ([7], ("b", (8, 16)), r"write \[8, 16\]\.$"),
    ],
)
def test_strides_that_do_not(strides, offered, sentence):
    with pytest.raises(BuildError, match=sentence):
        rising_strides("a.strides", strides, offered)
