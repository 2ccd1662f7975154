"""Two places that state one thing."""

import pytest

from hatlite.errors import BuildError
from hatlite.models.agreement import agree


def test_who_is_silent_follows():
    assert agree("x", ("a", 3), ("b", 3)) == 3
    assert agree("x", ("a", 3), ("b", None)) == 3
    assert agree("x", ("a", None), ("b", 4)) == 4
    assert agree("x", ("a", None), ("b", None)) is None


def test_difference_names_both_places():
    text = r"targets.size is 4, but head.size is 3; both state the size.\n  Set targets.size to 3, or leave it out"
    with pytest.raises(BuildError, match=text):
        agree("the size", ("head.size", 3), ("targets.size", 4))
