"""Do the fields of a record have the types that its dataclass declares? Asked before anything from a file is built."""

import functools
import types
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np

from hatlite.errors import ProgramError

__all__ = ["check_fields"]


def check_fields(cls: type, values: Mapping[str, Any]) -> None:
    """Compare `values` with the annotations of the dataclass `cls`; a field that is absent keeps its default.

    Raises:
        ProgramError: A field is unknown or of another type.
    """
    hints = _hints(cls)
    for name, value in values.items():
        if name not in hints:
            raise ProgramError(f"holds a {cls.__name__} with {name!r}; this version knows {', '.join(hints)}.")
        if not _is_a(value, hints[name]):
            raise ProgramError(f"holds a {cls.__name__} whose {name} is {_shown(value)}; write the file again.")


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return {name: hint for name, hint in typing.get_type_hints(cls).items() if typing.get_origin(hint) is not _CLASSVAR}


_CLASSVAR = typing.ClassVar


def _is_a(value: Any, hint: Any) -> bool:
    """Return whether `value` is of exactly the annotated type: True is no int, a list no tuple."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_is_a(value, arg) for arg in args)
    if origin is np.ndarray:
        return isinstance(value, np.ndarray) and value.dtype == typing.get_args(args[1])[0]
    if origin is tuple:
        if type(value) is not tuple:
            return False
        each = args[:1] * len(value) if args[-1] is Ellipsis else args
        return len(value) == len(each) and all(map(_is_a, value, each))
    if origin is dict:
        return type(value) is dict and all(_is_a(k, args[0]) and _is_a(v, args[1]) for k, v in value.items())
    return isinstance(value, hint) and (type(value) is hint or hint not in (int, float, str))


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 40 else text[:39] + '…'} ({type(value).__name__})"
