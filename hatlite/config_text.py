"""A config written out as one Python file of dicts: siblings merged, overrides applied, nothing left to look up."""

import json
import keyword
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import FunctionType
from typing import Any

from hatlite.config import dotted, to_json

__all__ = ["to_python", "value_text"]

WIDTH = 120
INDENT = 4


def to_python(cfg: Mapping[str, Any], marked: Mapping[str, str] | None = None) -> str:
    """Return Python that assigns every name of `cfg`; run as a config, it gives the same values.

    A dict that stands at several places is written once and named afterwards, for the same dict becomes the same object
    when it is built. Functions of the config are left out: what they made stands in the dicts. A value that Python
    cannot write becomes the text that :func:`hatlite.config.to_json` has for it.

    Args:
        cfg: As loaded or resolved.
        marked: Name → what is put above it as a comment.
    """
    writer = _Writer()
    statements = []
    for name, value in cfg.items():
        if isinstance(value, FunctionType):
            continue
        comment = f"# {marked[name]}\n" if marked and name in marked else ""
        statements.append(f"{comment}{name} = {writer.text(value, f'{name} = ')}")
        writer.name(value, name)
    imports = [f"import {module}" for module in sorted(writer.modules) if not _is_above(module, writer.modules)]
    return "\n".join([*imports, *([""] if imports else []), *_spaced(statements)]) + "\n"


def value_text(value: Any) -> str:
    """Return a value of a config as it would stand behind a name."""
    return _Writer().text(value)


def _is_above(module: str, others: Iterable[str]) -> bool:
    return any(other.startswith(f"{module}.") for other in others)


def _spaced(statements: Iterable[str]) -> Iterator[str]:
    """Put an empty line around statements of several lines."""
    before = ""
    for statement in statements:
        if before and "\n" in statement + before:
            yield ""
        yield statement
        before = statement


class _Writer:
    """Writes values.

    Attributes:
        names: Identity of a dict or list that stands above → the expression that finds it.
        modules: Modules that what was written takes something from.
    """

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.modules: set[str] = set()

    def name(self, value: Any, expression: str) -> None:
        """Remember where the dicts of `value`, and itself, are found from now on."""
        if isinstance(value, dict) or (isinstance(value, list) and expression.isidentifier()):
            self.names.setdefault(id(value), expression)
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if _is_row(value) else ()
        for key, item in pairs:
            self.name(item, f"{expression}[{self.flat(key)}]")

    def text(self, value: Any, before: str = "", depth: int = 0) -> str:
        """Return `value` as it stands behind `before`, `depth` spaces deep; a part a line where one is too short."""
        flat = self.flat(value)
        if depth + len(before) + len(flat) < WIDTH or id(value) in self.names:
            return flat
        inner = depth + INDENT
        if isinstance(value, Mapping) and value:
            begin, end = ("dict(", ")") if _are_keywords(value) else ("{", "}")
            parts = [key + self.text(value[name], key, inner) for name, key in self.keys(value)]
        elif _is_row(value) and value:
            begin, end = "[]" if isinstance(value, list) else "()"
            parts = [self.text(item, "", inner) for item in value]
            if not any(_is_row(item) or isinstance(item, Mapping) for item in value):
                parts = list(_filled(parts, WIDTH - inner))
        else:
            return flat
        return "\n".join([begin, *(f"{' ' * inner}{part}," for part in parts), " " * depth + end])

    def flat(self, value: Any) -> str:
        """Return `value` in one line."""
        if id(value) in self.names and isinstance(value, (dict, list)):
            return self.names[id(value)]
        if isinstance(value, Mapping):
            items = ", ".join(f"{key}{self.flat(value[name])}" for name, key in self.keys(value))
            return f"dict({items})" if value and _are_keywords(value) else f"{{{items}}}"
        if isinstance(value, list):
            return f"[{', '.join(map(self.flat, value))}]"
        if isinstance(value, tuple):
            return f"({', '.join(map(self.flat, value))}{',' * (len(value) == 1)})"
        if isinstance(value, (set, frozenset)) and value:
            return f"{{{', '.join(sorted(map(self.flat, value)))}}}"
        return self.scalar(value)

    def keys(self, value: Mapping[Any, Any]) -> list[tuple[Any, str]]:
        """Return the keys of a dict, each with how it is written in front of its value."""
        return [(key, f"{key}=" if _are_keywords(value) else f"{self.flat(key)}: ") for key in value]

    def scalar(self, value: Any) -> str:
        """Return a value without parts."""
        if isinstance(value, float) and not math.isfinite(value):
            return f'float("{value}")'
        if value is None or isinstance(value, (bool, int, float)):
            return repr(value)
        if isinstance(value, (str, os.PathLike)):
            return json.dumps(os.fspath(value), ensure_ascii=False)
        if callable(value) and hasattr(value, "__qualname__"):
            return self.taken(dotted(value))
        if hasattr(value, "dtype") and hasattr(value, "tolist"):
            return self.array(value)
        text = repr(value)
        is_name = all(part.isidentifier() for part in text.split("."))  # such as torch.bfloat16
        return self.taken(text) if is_name else to_json(value).rstrip("\n")

    def array(self, value: Any) -> str:
        """Return a tensor or an array; zeros, which stand for an image of some size, by their shape."""
        module = type(value).__module__.partition(".")[0]
        dtype = str(value.dtype) if "." in str(value.dtype) else f"{module}.{value.dtype}"
        if not value.any():
            return f"{self.taken(f'{module}.zeros')}({tuple(value.shape)}, dtype={dtype})"
        make = self.taken(f"{module}.{'tensor' if module == 'torch' else 'array'}")
        return f"{make}({value.tolist()}, dtype={dtype})"

    def taken(self, name: str) -> str:
        """Return a dotted name, whose module is to be imported; those of the config itself are not there any more."""
        module = name.rpartition(".")[0]
        if module in sys.modules and module != "builtins":
            self.modules.add(module)
        return name.removeprefix("builtins.")


def _is_row(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _are_keywords(value: Mapping[Any, Any]) -> bool:
    return all(isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key) for key in value)


def _filled(parts: Sequence[str], width: int) -> Iterator[str]:
    """Join `parts` to lines, each without its last comma."""
    line = ""
    for part in parts:
        if line and len(line) + len(part) + 3 > width:
            yield line
            line = part
        else:
            line = f"{line}, {part}" if line else part
    yield line
