"""One registry: type strings of a config become objects.

A config dict with a `type` is built after its children; everything beside `type` goes to the constructor by name. A dict
without `type` stays a dict. `type` is a registered name, an alias, or a class such as ``torch.optim.SGD``.

Rules that configs rely on:

- Within one :meth:`Registry.build` the *same dict object* becomes the *same instance*, so a model that a trainer and a
  callback both mention is one model.
- A class that wants a nested config unbuilt, because it must first make something the child needs, names the key in its
  ``build_later`` mapping together with the arguments that it will add: ``build_later = {"optimizer": ("params",)}``.
- A foreign class whose constructor does not fit (``torch.utils.data.DataLoader``) has an adapter: a function registered
  with :meth:`Registry.adapt` that is called in its place and may carry ``build_later`` too.
- An unknown key is an error, never ignored.
"""

import difflib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from hatlite.errors import BuildError, ConfigError, HatliteError, UnknownTypeError

__all__ = ["OBJECT_REGISTRY", "Registry", "nearest"]


def nearest(word: str, candidates: list[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest candidate, or an empty string."""
    found = difflib.get_close_matches(word, candidates, n=1, cutoff=0.5)
    return f"\n  Did you mean {found[0]!r}?" if found else ""


def _source(target: Callable) -> str:
    """Return ``hatlite/models/heads/fcos_head.py:31`` for a class or function, as far as it is known."""
    try:
        line = inspect.getsourcelines(target)[1]
    except (OSError, TypeError):
        return getattr(target, "__module__", "built-in")
    return f"{target.__module__.replace('.', '/')}.py:{line}"


def _describe(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    default = parameter.default
    return f"{parameter.name}={getattr(default, '__name__', repr(default))}"


class Registry:
    """Maps names to classes and builds nested config dicts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._entries: dict[str, Callable] = {}
        self._adapters: dict[Any, Callable] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def register(self, target: Callable | None = None, *, alias: str | None = None) -> Callable:
        """Register a class or function under its own name and, optionally, an `alias`; use as a decorator."""
        if target is None:
            return lambda cls: self.register(cls, alias=alias)
        for name in filter(None, (target.__name__, alias)):
            if name in self._entries:
                raise ValueError(f"{name!r} is already registered by {_source(self._entries[name])}; names are unique.")
            self._entries[name] = target
        return target

    def adapt(self, foreign: type) -> Callable:
        """Decorate the function that builds the `foreign` class in its place."""

        def keep(adapter: Callable) -> Callable:
            self._adapters[foreign] = adapter
            return adapter

        return keep

    def names(self, near: str = "") -> list[str]:
        """Return all names, those of classes that resemble `near` first."""
        ranked = difflib.get_close_matches(near, self._entries, n=5, cutoff=0.3) if near else []
        return ranked + sorted(set(self._entries) - set(ranked))

    def get(self, kind: Any, path: str = "") -> Callable:
        """Return the class or adapter behind `kind`, a name or a class.

        Raises:
            UnknownTypeError: Nothing of that name is registered; the message names the place and what exists.
        """
        if isinstance(kind, str):
            if kind not in self._entries:
                raise self._unknown(kind, path)
            kind = self._entries[kind]
        if not callable(kind):
            raise UnknownTypeError(
                f"config{path}['type'] is {kind!r}; expected a registered name or a class.", path=path, name=str(kind)
            )
        return self._adapters.get(kind, kind)

    def _unknown(self, name: str, path: str) -> UnknownTypeError:
        best = difflib.get_close_matches(name, self._entries, n=1, cutoff=0.5)
        package = self._entries[best[0]].__module__.rpartition(".")[0] if best else ""
        siblings = sorted(n for n, t in self._entries.items() if t.__module__.rpartition(".")[0] == package)
        listed = siblings or sorted(self._entries)
        return UnknownTypeError(
            f"config{path}['type'] is {name!r}, which is not registered.{nearest(name, list(self._entries))}"
            f"\n  Registered{f' in {package}' if package else ''}: {', '.join(listed)}."
            "\n  A type of your own is registered by naming its module in custom_imports.",
            path=f"config{path}['type']",
            name=name,
            candidates=best + [n for n in listed if n not in best],
        )

    def check(self, cfg: Any, path: str = "", parts: tuple[str, ...] = ()) -> list[ConfigError]:
        """Return every unknown type, unknown key and missing key below `cfg`, without building anything.

        Args:
            cfg: Config value of any depth.
            path: Where it stands, such as ``['model']``.
            parts: Names of arguments that the caller will add to the outermost constructor.
        """
        if isinstance(cfg, (list, tuple)):
            return [p for i, item in enumerate(cfg) for p in self.check(item, f"{path}[{i}]")]
        if not isinstance(cfg, Mapping):
            return []
        if "type" not in cfg:
            return [p for key, item in cfg.items() for p in self.check(item, f"{path}[{key!r}]")]
        try:
            target = self.get(cfg["type"], path)
        except UnknownTypeError as problem:
            children = {key: item for key, item in cfg.items() if key != "type"}
            return [problem, *self.check(children, path)]
        later = getattr(target, "build_later", {})
        problems: list[ConfigError] = list(self._check_keys(target, cfg, path, parts))
        for key, item in cfg.items():
            if key != "type":
                problems += self.check(item, f"{path}[{key!r}]", tuple(later.get(key, ())))
        return problems

    def _check_keys(self, target: Callable, cfg: Mapping, path: str, parts: tuple[str, ...]) -> list[BuildError]:
        try:
            parameters = inspect.signature(target).parameters
        except ValueError:  # a built-in without a signature checks itself
            return []
        named = {n: p for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        takes = f"\n  {target.__name__} takes {', '.join(map(_describe, named.values()))} ({_source(target)})."
        problems = []
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            for key in set(cfg) - {"type"} - set(named):
                text = f"config{path}: {target.__name__} got an unexpected key {key!r}.{nearest(key, list(named))}{takes}"
                problems.append(BuildError(text, path=path, name=target.__name__, candidates=list(named)))
        required = [n for n, p in named.items() if p.default is p.empty]
        for key in required:
            if key not in cfg and key not in parts:
                text = f"config{path}: {target.__name__} needs the key {key!r}, which is missing.{takes}"
                problems.append(BuildError(text, path=path, name=target.__name__, candidates=list(named)))
        return sorted(problems, key=str)

    def build(self, cfg: Any, *, path: str = "", **parts: Any) -> Any:
        """Build `cfg` and everything below it.

        Args:
            cfg: A config value; dicts with `type` become objects, lists and plain dicts are rebuilt around them.
            path: Place in the config, for messages, such as ``['model']``.
            parts: Arguments added to the outermost constructor (``params`` of an optimizer).

        Raises:
            UnknownTypeError, BuildError: With the path of the dict that is wrong; all problems together.
        """
        problems = self.check(cfg, path, tuple(parts))
        if problems:
            raise ConfigError.together(problems, f"config{path}")
        return self._build(cfg, path, parts, {})

    def _build(self, cfg: Any, path: str, parts: Mapping[str, Any], built: dict[int, Any]) -> Any:
        if isinstance(cfg, (list, tuple)):
            return type(cfg)(self._build(item, f"{path}[{i}]", {}, built) for i, item in enumerate(cfg))
        if not isinstance(cfg, Mapping):
            return cfg
        if id(cfg) not in built:
            built[id(cfg)] = self._build_dict(cfg, path, parts, built)
        return built[id(cfg)]

    def _build_dict(self, cfg: Mapping, path: str, parts: Mapping[str, Any], built: dict[int, Any]) -> Any:
        target = self.get(cfg["type"], path) if "type" in cfg else None
        later = getattr(target, "build_later", {})
        values = {
            key: item if key in later else self._build(item, f"{path}[{key!r}]", {}, built)
            for key, item in cfg.items()
            if key != "type" or target is None
        }
        if target is None:
            return values
        try:
            return target(**{**values, **parts})
        except HatliteError:
            raise
        except (TypeError, ValueError, LookupError) as cause:
            reason = re.sub(r"\s+", " ", str(cause))
            text = f"config{path}: {target.__name__} could not be built: {reason} ({_source(target)})."
            raise BuildError(text, path=path, name=target.__name__) from cause


OBJECT_REGISTRY = Registry("hatlite")
"""The one registry; ``import hatlite.engine`` fills it."""
