"""Lists of class names: a label is a place in one, so lists that are to mean the same must be equal in order too."""

from collections.abc import Sequence

from hatlite.registry import nearest

__all__ = ["difference", "meant", "repeated", "shown"]

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


def meant(names: Sequence[str], known: Sequence[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the first of `names` that is near one of `known`, else nothing."""
    return next(filter(None, (nearest(name, list(known)) for name in names)), "")
