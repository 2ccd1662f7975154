"""What two parts of a detector both state must be the same, and the message says where it is not."""

from typing import Any

from hatlite.errors import BuildError

__all__ = ["agree"]


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
