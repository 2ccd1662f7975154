"""Lists of class names: a label is a place in one, so lists that are to mean the same must be equal in order too."""

from collections.abc import Sequence

from hatlite.errors import DataError
from hatlite.registry import nearest

__all__ = ["difference", "in_case_only", "meant", "repeated", "require_names", "shown"]

SHOWN = 10


def shown(names: Sequence[str]) -> str:
    """Return the first ten of `names`, quoted, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more


def repeated(names: Sequence[str]) -> list[str]:
    """Return the names that occur more than once."""
    return [name for name in dict.fromkeys(names) if list(names).count(name) > 1]


def difference(ours: Sequence[str], theirs: Sequence[str], us: str, them: str) -> str:
    """Return in what two lists of classes differ, as the end of a sentence without its full stop.

    Args:
        ours: A list of classes.
        theirs: Another.
        us: What to call the owner of `ours`, such as ``config['classes']``.
        them: What to call the owner of `theirs`.

    Returns:
        Who alone has which names; where both have the same names, the first label that means two things. Empty for
        equal lists.
    """
    ours, theirs = list(ours), list(theirs)
    if ours == theirs:
        return ""
    only_ours = [name for name in ours if name not in theirs]
    only_theirs = [name for name in theirs if name not in ours]
    alone = [f"only {owner} has {shown(own)}" for owner, own in ((us, only_ours), (them, only_theirs)) if own]
    if alone:
        return " and ".join(alone)
    if len(ours) != len(theirs):
        return f"{us} has {len(ours)} names and {them} {len(theirs)}, some of them twice"
    label = next(label for label, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
    return f"class {label} is {ours[label]!r} in {us} and {theirs[label]!r} in {them}"


def in_case_only(names: Sequence[str], known: Sequence[str]) -> str:
    """Return a line that tells which pairs of `names` and `known` differ in case only; nothing where none do."""
    alike = [(name, one) for name in names for one in known if name != one and name.casefold() == one.casefold()]
    if not alike:
        return ""
    pairs = [f"{first!r} and {second!r}" for first, second in dict.fromkeys((min(two), max(two)) for two in alike)]
    return f"\n  {'; '.join(pairs[:SHOWN])} differ in case only: spell them alike if they are one class."


def meant(names: Sequence[str], known: Sequence[str]) -> str:
    """Return a line for those of `names` that are one of `known` in another case, else ``" Did you mean 'x'?"``.

    The latter is for the first of `names` that is near one of `known`; without one nothing is returned.
    """
    return in_case_only(names, known) or next(filter(None, (nearest(name, list(known)) for name in names)), "")


def require_names(classes: Sequence[str], owner: str) -> None:
    """Refuse class names that are no list of strings.

    Args:
        classes: The names.
        owner: Whose they are, for the message.

    Raises:
        DataError: It is one string, whose letters would be names, or an entry is none.
    """
    if isinstance(classes, str):
        raise DataError(f"{owner}: classes is {classes!r}; expected a list of names, such as [{classes!r}].")
    if others := [name for name in classes if not isinstance(name, str)]:
        raise DataError(
            f"{owner}: classes has {others[0]!r} ({type(others[0]).__name__}); expected names as the annotations have"
            " them, in quotes."
        )
