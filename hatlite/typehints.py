"""Does a config's value fit the annotation of the parameter that it is for?

Only what a config can spell is judged: texts, numbers, truth values, None, lists and dicts. A dict with a `type`
becomes an object later, and None leaves an object out. Objects, arrays and annotations that this module does not know
always fit: a wrong guess would refuse a good config, while a constructor still refuses a bad one.
"""

import os
import types
import typing
from collections.abc import Callable, Collection, Mapping
from numbers import Integral, Real
from typing import Any

__all__ = ["describe", "fits", "hints_of"]

_SPELLED = (str, Real, list, tuple, Mapping, type(None))
_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", type(None): "None"}


def hints_of(target: Callable) -> dict[str, Any]:
    """Return the annotation of every parameter of a class or function; none where they cannot be resolved."""
    try:
        return typing.get_type_hints(target.__init__ if isinstance(target, type) else target)  # type: ignore[misc]
    except (AttributeError, NameError, TypeError):
        return {}


def fits(value: Any, hint: Any) -> bool:
    """Tell whether `value` may stand where `hint` is annotated."""
    if not isinstance(value, _SPELLED) or (isinstance(value, Mapping) and "type" in value):
        return True
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, arg) for arg in args)
    if origin is typing.Literal:
        return value in args
    kind = origin or hint
    if not isinstance(kind, type) or kind in (Any, object):
        return True
    return _is_a(value, kind) and _parts_fit(value, kind, args)


def _is_a(value: Any, kind: type) -> bool:
    if value is None:
        return kind is type(None) or not (kind in _WORDS or _holds_items(kind) or issubclass(kind, Mapping))
    if kind in (int, float):
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    if isinstance(value, (list, tuple)) and _holds_items(kind):
        return True
    if isinstance(value, str) and kind is not str:
        return hasattr(kind, "__fspath__")  # not a list of its letters
    try:
        return isinstance(value, kind)
    except TypeError:  # a protocol that cannot be asked
        return True


def _holds_items(kind: type) -> bool:
    return issubclass(tuple, kind) or (issubclass(kind, Collection) and not issubclass(kind, (str, bytes, Mapping)))


def _parts_fit(value: Any, kind: type, args: tuple[Any, ...]) -> bool:
    if isinstance(value, Mapping) and len(args) == 2:
        return all(fits(item, args[1]) for item in value.values())
    if not isinstance(value, (list, tuple)) or not args:
        return True
    if issubclass(kind, tuple) and args[-1] is not Ellipsis:
        return len(value) == len(args) and all(map(fits, value, args))
    return all(fits(item, args[0]) for item in value)


def describe(hint: Any) -> str:
    """Return `hint` in words: ``a whole number or None``, ``a list (each a number)``."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(describe, args)))
    if origin is typing.Literal:
        return f"one of {', '.join(map(repr, args))}"
    kind = origin or hint
    if kind in _WORDS:
        return _WORDS[kind]
    if not isinstance(kind, type) or kind in (Any, object):
        return "a value"
    return _describe_kind(kind, args)


def _describe_kind(kind: type, args: tuple[Any, ...]) -> str:
    if issubclass(kind, os.PathLike):
        return "a path"
    if issubclass(kind, Mapping):
        return f"a dict (each value {describe(args[1])})" if len(args) == 2 and args[1] is not Any else "a dict"
    if kind in (Callable, type):
        return "a function or class"
    if not _holds_items(kind):
        return f"a dict whose type is a {kind.__name__}"
    if issubclass(kind, tuple) and args and args[-1] is not Ellipsis:
        return f"{len(args)} values ({', '.join(map(describe, args))})"
    return f"a list (each {describe(args[0])})" if args and args[0] is not Any else "a list"
