"""Dicts of settings in a config that no constructor takes, such as ``compile_cfg``: checked as strictly as a type."""

from collections.abc import Mapping
from typing import Any

from hatlite.errors import ConfigError
from hatlite.registry import nearest
from hatlite.typehints import describe, fits

__all__ = ["Declined", "section"]


class Declined(str):
    """In the place of an annotation: why a key that others have is none here, and what to write; one sentence."""


def section(config: Mapping[str, Any], name: str, hints: Mapping[str, Any], where: str = "config") -> Mapping[str, Any]:
    """Return ``config[name]``; empty where there is none.

    Args:
        config: The config, or a section of it.
        name: Key of the section.
        hints: Key → annotation of its value, or :class:`Declined`; no other key may occur.
        where: Place of `config`, for messages.

    Raises:
        ConfigError: It is no dict, has an unknown key, or a value of another kind.
    """
    found = config.get(name, {})
    where = f"{where}[{name!r}]"
    known = [key for key, hint in hints.items() if not isinstance(hint, Declined)]
    if not isinstance(found, Mapping):
        raise ConfigError(f"{where} is {found!r}; expected a dict with {', '.join(known)}.", path=where)
    for key, value in found.items():
        if isinstance(hints.get(key), Declined):
            raise ConfigError(f"{where} has no key {key!r}: {hints[key]}", path=where)
        if key not in known:
            hint = nearest(str(key), known)
            raise ConfigError(f"{where} has no key {key!r}; it takes {', '.join(known)}.{hint}", path=where)
        if not fits(value, hints[key]):
            raise ConfigError(f"{where}[{key!r}] is {value!r}; expected {describe(hints[key])}.", path=where)
    return found
