"""One registry: type strings of a config become objects.

A config dict with a `type` is built after its children; everything beside `type` goes to the constructor by name. A
dict without `type` stays a dict. `type` is a registered name, an alias, or a class such as ``torch.optim.SGD``.

Rules that configs rely on:

- Within one :meth:`Registry.build` the *same dict object* becomes the *same instance*, so a model that a trainer and a
  callback both mention is one model.
- A class that wants a nested config unbuilt, because it must first make something the child needs, names the key in its
  ``build_later`` mapping together with the arguments that it will add: ``build_later = {"optimizer": ("params",)}``.
- A foreign class whose constructor does not fit (``torch.utils.data.DataLoader``) has an adapter: a function registered
  with :meth:`Registry.adapt` that is called in its place and may carry ``build_later`` too.
- An unknown key is an error, never ignored, and so is a value that does not fit the parameter's annotation. A class
  that knows why others have a key says so in its ``declined_keys`` mapping, key to sentence, which is then the answer.
  One that reads a dict of settings names the function that refuses a wrong one in ``checked_keys``, key to function.
"""

import difflib
import inspect
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hatlite.errors import BuildError, ConfigError, HatliteError, UnknownTypeError
from hatlite.typehints import describe, fits, hints_of

__all__ = ["OBJECT_REGISTRY", "Registry", "nearest"]


def nearest(word: str, candidates: list[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest candidate, in whatever case, or an empty string."""
    folded = {one.casefold(): one for one in reversed(candidates)}
    alike = [one for one in candidates if one.casefold() == word.casefold()]
    found = alike or difflib.get_close_matches(word, candidates, n=1, cutoff=0.5)
    found = found or [folded[one] for one in difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.5)]
    return f"\n  Did you mean {found[0]!r}?" if found else ""


def _source(target: Callable) -> str:
    """Return ``hatlite/models/heads/fcos_head.py:31`` for a class or function, as far as it is known."""
    try:
        line = inspect.getsourcelines(target)[1]
    except (OSError, TypeError):
        return getattr(target, "__module__", "built-in")
    return f"{target.__module__.replace('.', '/')}.py:{line}"


def _name(target: Callable) -> str:
    return getattr(target, "__name__", repr(target))


def _describe(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    default = parameter.default
    return f"{parameter.name}={getattr(default, '__name__', repr(default))}"


def _takes(name: str, target: Callable, parameters: Mapping[str, inspect.Parameter]) -> str:
    """Return a line with what `target` takes; finding its source is slow, so only a message asks for it."""
    return f"\n  {name} takes {', '.join(map(_describe, parameters.values()))} ({_source(target)})."


@dataclass
class _Place:
    """A dict of the config, where it stands first, and the arguments that its surroundings add."""

    cfg: Mapping
    path: str
    parts: set[str]

    def called(self, target: Callable) -> str:
        """Return the name for messages: an adapter acts under that of the class it stands for."""
        return _name(self.cfg["type"] if callable(self.cfg["type"]) else target)


class Registry:
    """Maps names to classes and builds nested config dicts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._entries: dict[str, Callable] = {}
        self._adapters: dict[Any, Callable] = {}
        self._declined: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def register(self, target: Callable | None = None, *, alias: str | None = None) -> Callable:
        """Register a class or function under its own name and, optionally, an `alias`; use as a decorator."""
        if target is None:
            return lambda cls: self.register(cls, alias=alias)
        names = [name for name in (target.__name__, alias) if name]
        for name in names:
            if name in self._entries:
                raise ValueError(f"{name!r} is already registered by {_source(self._entries[name])}; names are unique.")
        self._entries.update(dict.fromkeys(names, target))
        return target

    def adapt(self, foreign: type) -> Callable:
        """Decorate the function that builds the `foreign` class in its place."""

        def keep(adapter: Callable) -> Callable:
            self._adapters[foreign] = adapter
            return adapter

        return keep

    def decline(self, names: Mapping[str, str]) -> None:
        """Answer names that other toolkits have with a sentence: why not here, and what to write instead.

        Args:
            names: Name to sentence, which follows a colon and ends in a full stop.
        """
        for name in names:
            if name in self._entries or name in self._declined:
                raise ValueError(f"{name!r} is taken already; names are unique.")
        self._declined.update(names)

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
            where = f"config{path}['type']"
            text = f"{where} is {kind!r}; expected a registered name or a class."
            raise UnknownTypeError(text, path=where, name=str(kind))
        return self._adapters.get(kind, kind)

    def _unknown(self, name: str, path: str) -> UnknownTypeError:
        where = f"config{path}['type']"
        if name in self._declined:
            text = f"{where} is {name!r}, which hatlite does not have: {self._declined[name]}"
            return UnknownTypeError(text, path=where, name=name)
        best = difflib.get_close_matches(name, self._entries, n=1, cutoff=0.5)
        package = self._entries[best[0]].__module__.rpartition(".")[0] if best else ""
        siblings = sorted(n for n, t in self._entries.items() if t.__module__.rpartition(".")[0] == package)
        listed = siblings or sorted(self._entries)
        return UnknownTypeError(
            f"{where} is {name!r}, which is not registered.{nearest(name, list(self._entries))}"
            f"\n  Registered{f' in {package}' if package else ''}: {', '.join(listed)}."
            "\n  A type of your own is registered by naming its module in custom_imports.",
            path=where,
            name=name,
            candidates=best + [n for n in listed if n not in best],
        )

    def check(self, cfg: Any, path: str = "", parts: tuple[str, ...] = ()) -> list[HatliteError]:
        """Return every unknown type, unknown or missing key and wrong value below `cfg`, without building anything.

        A dict that stands in several places is checked once, under its first path, with the arguments that any of its
        places will add: an `optimizer` that is also a top-level name of the config lacks no ``params``.

        Args:
            cfg: Config value of any depth.
            path: Where it stands, such as ``['model']``.
            parts: Names of arguments that the caller will add to the outermost constructor.
        """
        places: dict[int, _Place] = {}
        self._collect(cfg, path, parts, places)
        return [problem for place in places.values() for problem in self._check_place(place)]

    def _collect(self, cfg: Any, path: str, parts: Iterable[str], places: dict[int, _Place]) -> None:
        if isinstance(cfg, (list, tuple)):
            for i, item in enumerate(cfg):
                self._collect(item, f"{path}[{i}]", parts, places)
        if not isinstance(cfg, Mapping):
            return
        if id(cfg) in places:
            places[id(cfg)].parts.update(parts)
            return
        places[id(cfg)] = _Place(cfg, path, set(parts))
        later = getattr(self._find(cfg.get("type")), "build_later", {})
        for key, item in cfg.items():
            self._collect(item, f"{path}[{key!r}]", later.get(key, ()), places)

    def _find(self, kind: Any) -> Callable | None:
        """Return what :meth:`get` would, or None."""
        if isinstance(kind, str):
            kind = self._entries.get(kind)
        return self._adapters.get(kind, kind) if callable(kind) else None

    def _check_place(self, place: _Place) -> list[HatliteError]:
        if "type" not in place.cfg:
            return []
        try:
            target = self.get(place.cfg["type"], place.path)
            parameters = inspect.signature(target).parameters
        except UnknownTypeError as problem:
            return [problem]
        except ValueError:  # a built-in without a signature checks itself
            return []
        name = place.called(target)
        named = {n: p for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        texts = []
        declined = getattr(target, "declined_keys", {})
        for key in place.cfg:
            if key in declined:
                texts.append(f"has no key {key!r}: {declined[key]}")
            elif key != "type" and key not in named and not open_ended:
                near = nearest(str(key), list(named))
                texts.append(f"got an unexpected key {key!r}.{near}{_takes(name, target, named)}")
        for key, parameter in named.items():
            if parameter.default is parameter.empty and key not in place.cfg and key not in place.parts:
                texts.append(f"needs the key {key!r}, which is missing.{_takes(name, target, named)}")
        where = f"config{place.path}"
        problems: list[HatliteError] = [
            BuildError(f"{where}: {name} {text}", path=where, name=name, candidates=list(named)) for text in texts
        ]
        return [*problems, *self._check_values(place, target, named), *_check_settings(place, target)]

    def _check_values(
        self, place: _Place, target: Callable, named: Mapping[str, inspect.Parameter]
    ) -> list[HatliteError]:
        """Return the values that do not fit their annotations; a default always fits."""
        hints, name = hints_of(target), place.called(target)
        problems: list[HatliteError] = []
        for key, value in place.cfg.items():
            if key not in named or key not in hints or value is named[key].default or fits(value, hints[key]):
                continue
            where = f"config{place.path}[{key!r}]"
            text = f"{where} is {reprlib.repr(value)}; {name} expects {describe(hints[key])} there"
            problems.append(BuildError(f"{text} ({_source(target)}).", path=where, name=name))
        return problems

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
            items = [self._build(item, f"{path}[{i}]", {}, built) for i, item in enumerate(cfg)]
            return type(cfg)(*items) if hasattr(cfg, "_fields") else type(cfg)(items)  # a namedtuple takes its fields
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
        except HatliteError as problem:
            problem.locate(f"config{path}")
            raise
        except (AttributeError, LookupError, TypeError, ValueError) as cause:
            reason = re.sub(r"\s+", " ", str(cause))
            text = f"config{path}: {_name(target)} could not be built: {reason} ({_source(target)})."
            raise BuildError(text, path=f"config{path}", name=_name(target)) from cause


def _check_settings(place: _Place, target: Callable) -> list[HatliteError]:
    """Return what the functions of ``checked_keys`` refuse; a value that is no dict is told as that."""
    problems = []
    for key, check in getattr(target, "checked_keys", {}).items():
        try:
            if isinstance(place.cfg.get(key), Mapping):
                check(place.cfg[key])
        except HatliteError as problem:
            problem.locate(f"config{place.path}")
            problems.append(problem)
    return problems


OBJECT_REGISTRY = Registry("hatlite")
"""The one registry; ``import hatlite.engine`` fills it."""
