"""``--opts key.path=value``: change a config without editing it.

A bare name replaces the right-hand side of its assignments *before* the config runs, in the config and in the siblings
that it imports, so that ``num_epochs=2`` reaches every dict that uses the variable. A name that the framework reads at
the top of a config (:data:`hatlite.config_names.NAMES`) arrives there, whoever sets it; any other must be read by
something or stand in the finished config. A dotted path
(``model.head.num_classes=3``, ``float_trainer.callbacks.0.log_freq=5``) changes the finished dicts in place: a dict
that stands in two trainers changes for both. A dict with a `type` takes new keys, since the registry checks them
against the constructor; elsewhere a key must exist. Behind a list ``+`` stands for the place after its last entry:
``float_trainer.callbacks.+={'type':'FreezeBNStatistics'}``.
"""

import ast
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hatlite.errors import ConfigError
from hatlite.registry import nearest

__all__ = ["Override", "Overrides", "find", "parse_value"]

_WORDS = {"true": True, "false": False, "none": None}
_BRACKETS = {"{}": "dict", "[]": "list"}
_CALL = re.compile(r"(dict|list|tuple|set)\(.*\)", re.DOTALL)


def parse_value(text: str) -> Any:
    """Return the Python literal that `text` spells; true, false and none in any case; otherwise `text` itself.

    Raises:
        ConfigError: It has the brackets of a dict or a list and spells none, or is a call that would make one.
    """
    if text.strip().lower() in _WORDS:
        return _WORDS[text.strip().lower()]
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        call = _CALL.fullmatch(text.strip())
        if call is not None:
            raise ConfigError(
                f"{text} is a call of {call[1]}, and values are read as literals; write it as one, such as"
                """ "val_metrics={'type':'VOCMApMetric'}"."""
            ) from None
        kind = _BRACKETS.get(text.strip()[:1] + text.strip()[-1:])
        if kind is None:
            return text
    raise ConfigError(
        f"{text} is no {kind} that Python reads. A shell takes quotes away, so put others around the whole, as in"
        """ "model.backbone={'type':'resnet50'}"."""
    )


@dataclass(frozen=True)
class Override:
    """One ``key.path=value``.

    Attributes:
        text: As the user typed it.
        keys: The path, outermost first.
        value: The parsed value.
    """

    text: str
    keys: tuple[str, ...]
    value: Any

    @classmethod
    def parse(cls, text: str) -> "Override":
        """Split `text` at the first ``=``.

        Raises:
            ConfigError: There is no ``=``, a part of the path is empty, or the value is a dict that lost its quotes.
        """
        path, equals, value = text.partition("=")
        keys = tuple(key.strip() for key in path.split("."))
        if not equals or not all(keys):
            raise ConfigError(f"--opts takes key.path=value, such as num_epochs=2 or model.bias=true, not {text!r}.")
        try:
            return cls(text, keys, parse_value(value))
        except ConfigError as problem:
            raise ConfigError(f"--opts {path}: {problem}") from problem


class Overrides(ast.NodeTransformer):
    """All overrides of one :func:`hatlite.config.load`.

    Args:
        texts: ``key.path=value`` strings; a later one wins.
        known: Names that are read at the top of a finished config.
    """

    def __init__(self, texts: Sequence[str] = (), known: Collection[str] = ()) -> None:
        parsed = [Override.parse(text) for text in texts]
        self.names = {one.keys[0]: one for one in parsed if len(one.keys) == 1}
        self.paths = [one for one in parsed if len(one.keys) > 1]
        self.known = known
        self.assigned: set[str] = set()
        self.read: set[str] = set()

    def rewrite(self, tree: ast.Module) -> ast.Module:
        """Replace what `tree` assigns to the bare names, outside functions and classes."""
        changed = ast.fix_missing_locations(self.visit(tree))
        self.read.update(_names_read(changed))
        return changed

    def visit_FunctionDef(self, node: ast.AST) -> ast.AST:
        """Leave local variables alone."""
        return node

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef  # noqa: N815 - ast's own spelling

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """Replace the value of ``name = …``."""
        for target in node.targets:
            self._replace(node, target)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Replace the value of ``name: type = …``."""
        self._replace(node, node.target)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        """Turn ``name += …`` into the override, which counts as the final value."""
        assign = ast.copy_location(ast.Assign([node.target], node.value), node)
        return assign if self._replace(assign, node.target) else node

    def _replace(self, node: ast.Assign | ast.AnnAssign, target: ast.AST) -> bool:
        if not isinstance(target, ast.Name):
            return False
        self.assigned.add(target.id)
        if target.id not in self.names:
            return False
        value = ast.parse(repr(self.names[target.id].value), mode="eval").body
        for part in ast.walk(value):
            ast.copy_location(part, node.value or node)
        node.value = value
        return True

    def apply(self, cfg: dict[str, Any]) -> None:
        """Change `cfg` in place: add what is known and the config leaves out, then follow the dotted paths.

        Raises:
            ConfigError: A bare name was never assigned or changes nothing, or a path leads nowhere; the message has
                the nearest key. Of several such overrides all are told.
        """
        for name, override in self.names.items():
            if name in self.known and name not in cfg:
                cfg[name] = override.value
                self.assigned.add(name)
        taken = self.assigned & (self.read | set(cfg))
        problems = [self._untaken(cfg, name) for name in self.names if name not in taken]
        for override in self.paths:
            try:
                _assign(cfg, override)
            except ConfigError as problem:
                problems.append(problem)
        if problems:
            raise ConfigError.together(problems, "--opts")

    def _untaken(self, cfg: dict[str, Any], name: str) -> ConfigError:
        reason, hint = "it is not set by a plain assignment", ""
        if name in self.assigned:
            reason = "only a file that the config imports sets that name, and nothing reads it"
        elif name not in cfg:
            reason = "the config sets no such name"
            hint = nearest(name, sorted({*self.assigned, *cfg, *self.known}))
        return ConfigError(f"--opts {self.names[name].text}: {reason}.{hint}", path=f"config[{name!r}]")


def _names_read(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
            yield node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


def find(cfg: dict[str, Any], keys: str) -> tuple[Any, str]:
    """Return what stands in `cfg` at the ``key.path`` that ``--key`` names, and its place, such as ``config['model']``.

    Raises:
        ConfigError: Nothing stands there; the message has the nearest key.
    """
    return _follow(cfg, keys.split("."), f"--key {keys}: ")


def _follow(cfg: dict[str, Any], keys: Sequence[str], text: str) -> tuple[Any, str]:
    place: Any = cfg
    path = "config"
    for key in keys:
        index = _index(place, key, path, text)
        place, path = place[index], f"{path}[{index!r}]"
    return place, path


def _assign(cfg: dict[str, Any], override: Override) -> None:
    text = f"--opts {override.text}: "
    place, path = _follow(cfg, override.keys[:-1], text)
    last = override.keys[-1]
    if isinstance(place, list) and last == "+":
        place.append(override.value)
    elif isinstance(place, dict) and "type" in place:
        place[last] = override.value
    else:
        place[_index(place, last, path, text)] = override.value


def _index(place: Any, key: str, path: str, text: str) -> str | int:
    """Return `key` as an index into `place`, a dict or a list; `text` comes before a message."""
    if isinstance(place, dict):
        for known in place:
            if str(known) == key:
                return known
        keys = [str(known) for known in place]
        hint = f"{nearest(key, keys)}\n  It has {', '.join(keys)}."
        raise ConfigError(f"{text}{path} has no key {key!r}.{hint}", path=path)
    if isinstance(place, list):
        if key.lstrip("-").isdecimal() and -len(place) <= int(key) < len(place):
            return int(key)
        raise ConfigError(f"{text}{path} is a list of {len(place)}; {key!r} is no index into it.", path=path)
    kind = type(place).__name__
    raise ConfigError(f"{text}{path} is {place!r} ({kind}), which has no parts; name it as a whole.", path=path)
