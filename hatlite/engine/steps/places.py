"""Where in a config the value of a key stands, as the path of an override."""

from collections.abc import Mapping, Sequence
from typing import Any

from hatlite.engine.callbacks import LrUpdater, StatsMonitor
from hatlite.errors import HatliteError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["find_place", "index_of_type", "value_at"]

TYPES = {"LrUpdater": LrUpdater, "StatsMonitor": StatsMonitor}
"""Words of paths that stand for the first entry of such a type."""


def find_place(config: Mapping[str, Any], paths: Sequence[str], stage: str) -> str | None:
    """Return the first of `paths` that leads somewhere in `config`, with indices for types; None if none does.

    Args:
        config: As it was loaded.
        paths: As :class:`~hatlite.engine.steps.keys.Key` has them.
        stage: For ``{stage}``.
    """
    for path in paths:
        place: Any = config
        found: list[str] = []
        for word in path.format(stage=stage).split("."):
            place, index = _enter(place, word)
            if index is None:
                break
            found.append(index)
        else:
            return ".".join(found)
    return None


def value_at(config: Mapping[str, Any], path: str) -> Any:
    """Return what stands at `path`, which :func:`find_place` has found; None for a key that a dict may take."""
    place: Any = config
    for word in path.split("."):
        place, _ = _enter(place, word)
    return place


def index_of_type(entries: Sequence[Any], base: type) -> int | None:
    """Return which of `entries`, dicts of a config, is the first whose type is `base` or derived from it."""
    for index, entry in enumerate(entries):
        try:
            found = OBJECT_REGISTRY.get(entry.get("type")) if isinstance(entry, Mapping) else None
        except HatliteError:  # validation tells what is wrong with it
            continue
        if isinstance(found, type) and issubclass(found, base):
            return index
    return None


def _enter(place: Any, word: str) -> tuple[Any, str | None]:
    """Return what `place` has at `word`, and the word of an override that leads there; None if nothing does."""
    if isinstance(place, Mapping):
        if word in place:
            return place[word], word
        return None, word if "type" in place else None
    if isinstance(place, (list, tuple)):
        index = int(word) if word.isdecimal() else index_of_type(place, TYPES[word])
        if index is not None and index < len(place):
            return place[index], str(index)
    return None, None
