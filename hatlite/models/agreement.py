"""What parts of a detector state must fit together, and the message says where it does not."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hatlite.errors import BuildError

__all__ = ["agree", "rising_strides"]


def agree(what: str, first: tuple[str, Any], second: tuple[str, Any]) -> Any:
    """Return the value on which both places agree; a place that says None takes the other's.

    Args:
        what: What the value means, for the message: ``the number of classes``.
        first: (place, value) of the side that leads, such as ``("head.num_classes", 80)``.
        second: (place, value) of the side that may leave it out.

    Raises:
        BuildError: The values differ; the message prints both places and both values.
    """
    if second[1] is None or first[1] == second[1]:
        return first[1]
    if first[1] is None:
        return second[1]
    raise BuildError(
        f"{second[0]} is {second[1]!r}, but {first[0]} is {first[1]!r}; both state {what}."
        f"\n  Set {second[0]} to {first[1]!r}, or leave it out and it is taken from there."
    )


def rising_strides(
    place: str, strides: Sequence[int], offered: tuple[str, Sequence[int]] | None = None
) -> tuple[int, ...]:
    """Return `strides` as a tuple: levels fine to coarse, each once; outputs have their stride as their name.

    Args:
        place: Where they stand, for the message: ``FCOSHead: head.out_strides``.
        strides: Pixels per cell of the levels.
        offered: (place, strides) of those they are chosen from; None allows all.

    Raises:
        BuildError: They do not rise strictly from 1 up, or one is not offered; the message prints the right list.
    """
    allowed = None if offered is None else offered[1]
    known = {stride for stride in strides if stride > 0 and (allowed is None or stride in allowed)}
    if strides and len(known) == len(strides) and all(finer < coarser for finer, coarser in pairwise(strides)):
        return tuple(strides)
    some = "" if offered is None else f" be some of {offered[0]} {list(offered[1])} and"
    right = sorted(known) or ([8, 16, 32] if allowed is None else list(allowed))
    raise BuildError(f"{place} {list(strides)} must{some} rise from fine to coarse, each stride once; write {right}.")
