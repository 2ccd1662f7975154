"""The multiple is named where it was missed, and only there."""

from torch import nn

from hatlite.analysis.image_size import asked_of_sides


def test_the_multiple_is_named_where_it_was_missed() -> None:
    network = nn.Identity()
    assert asked_of_sides(network, (1, 3, 9, 9)) == ""
    network.size_divisor = 8  # type: ignore[assignment]
    assert asked_of_sides(network, (1, 3, 64, 9)) == "\n  Height and width must be multiples of 8."
    assert asked_of_sides(network, (1, 3, 64, 8)) == ""
