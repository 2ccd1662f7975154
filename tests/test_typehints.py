from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from hatlite.typehints import describe, fits, hints_of


class Head:
    """Stands for a class that a nested dict becomes."""


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (3, int),
        (3, float),
        (None, int | None),
        ("last", Literal["best", "last"]),
        ([1, 2], tuple[int, int]),
        ((1, 2, 3), tuple[int, ...]),
        ([0.1, 2], Sequence[float]),
        ({"a": {"b": "c"}}, Mapping[str, Mapping[str, str]]),
        ({"type": "Head"}, Head),
        (None, Head),
        (Head(), int),  # an object is the constructor's business
        ("a/b", Path),
        ("a", object),
        ("a", Any),
        (5, "what nobody can resolve"),
    ],
)
def test_what_a_constructor_takes_fits(value, hint):
    assert fits(value, hint)


@pytest.mark.parametrize(
    ("value", "hint", "said"),
    [
        ("two", int, "a whole number"),
        (True, int, "a whole number"),
        (2.0, int, "a whole number"),
        ("fast", float | None, "a number or None"),
        (1, bool, "True or False"),
        (None, str, "a text"),
        ("neither", Literal["best", "last"], "one of 'best', 'last'"),
        (100, tuple[int, int], "2 values (a whole number, a whole number)"),
        ([1, 2, 3], tuple[int, int], "2 values (a whole number, a whole number)"),
        ("abc", Sequence[str], "a list (each a text)"),
        ([1, "b"], Sequence[int], "a list (each a whole number)"),
        ([{"match": "a"}], Mapping[str, Mapping[str, str]], "a dict (each value a dict (each value a text))"),
        ({"a": 3}, Mapping[str, str], "a dict (each value a text)"),
        ({"no": "type"}, Head, "a dict whose type is a Head"),
        ("Head", Head, "a dict whose type is a Head"),
        (3, Path, "a path"),
        (3, Callable[[int], int], "a function or class"),
    ],
)
def test_what_it_does_not_take_is_refused_in_words(value, hint, said):
    assert not fits(value, hint)
    assert describe(hint) == said


def test_annotations_that_cannot_be_resolved_are_none():
    def build(size: "NoSuchName") -> None:  # noqa: F821
        """Has an annotation of a name that does not exist."""

    assert hints_of(build) == {}
