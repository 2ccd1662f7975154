"""A config is a plain Python module of dicts, and one complete run.

:func:`load` runs the module and returns its public names. The config's folder and the current directory are importable
meanwhile: a variant imports its sibling, edits deep copies and leaves no trace in ``sys.modules``. Modules named in
``custom_imports`` are imported to stay, so that a user's own types are registered.
"""

import ast
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hatlite.config_names import FOR_ITSELF, NAMES
from hatlite.errors import ConfigError, HatliteError
from hatlite.files import whole_file
from hatlite.overrides import Overrides
from hatlite.registry import nearest

__all__ = ["dotted", "dump", "load", "to_json"]


def load(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Run the config at `path` and return its public names.

    Modules, names with a leading underscore, and functions and classes brought in by ``from … import`` are left out.
    Functions that the config defines stay as values. Dicts keep their identity.

    Args:
        path: A Python file.
        overrides: ``key.path=value`` strings, see :mod:`hatlite.overrides`.

    Raises:
        ConfigError: There is no such file, it does not run (file and line are named), or an override changes nothing.
    """
    path = Path(path)
    if path.is_dir():
        inside = "".join(f", such as {file}" for file in sorted(path.glob("*.py"))[:1])
        raise ConfigError(f"{path} is a folder; name a config file{inside}.", path=str(path))
    if not path.is_file():
        raise ConfigError(f"There is no config file {path}.{_near(path)}", path=str(path))
    opts = Overrides(overrides, [name for name in NAMES if name not in FOR_ITSELF])
    with _importable(path, opts) as siblings:
        namespace, imported = _execute(path, opts, siblings)
        cfg = {name: value for name, value in namespace.items() if _is_value(name, value, imported)}
        opts.apply(cfg)
    with _importable(path):
        _import_custom(cfg.get("custom_imports", ()), path)
    return cfg


def to_json(cfg: Any) -> str:
    """Return the resolved config as JSON text, the same for the same config.

    Classes and functions become dotted names (``"torch.optim.SGD"``), tuples become lists, arrays their type and shape.
    """
    return json.dumps(_plain(cfg), indent=2, ensure_ascii=False) + "\n"


def dump(cfg: Any, path: str | Path) -> None:
    """Write :func:`to_json` to `path`, whole or not at all; folders are made."""
    with whole_file(path) as unfinished:
        unfinished.write_text(to_json(cfg), encoding="utf-8")


def _near(path: Path) -> str:
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    beside = [*folder.glob("*.py"), *Path("configs").rglob("*.py")]
    names = {file.name: file for file in reversed(sorted(beside))}
    hint = nearest(path.name if path.suffix else f"{path.name}.py", list(names))
    return next((hint.replace(repr(name), repr(str(file))) for name, file in names.items() if repr(name) in hint), "")


class _Siblings(importlib.abc.MetaPathFinder):
    """Finds modules beside the config or in the same tree of configs, and loads them with the overrides applied.

    What a sibling imports may lie beside the sibling, which may be in another folder.
    """

    def __init__(self, path: Path, opts: Overrides) -> None:
        self.folder = path.resolve().parent
        self.folders = [self.folder]
        self.here = Path.cwd()
        self.opts = opts
        below = self.folder.relative_to(self.here).parts if self.folder.is_relative_to(self.here) else ()
        self.root = self.here / below[0] if below else None

    def owns(self, file: Path) -> bool:
        """Tell whether `file` (or a package folder) belongs to the configs."""
        in_tree = self.root is not None and file.is_relative_to(self.root)
        return in_tree or file.parent in self.folders

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a spec for a sibling, or None to let Python look elsewhere."""
        where = [*map(str, self.folders), str(self.here)] if path is None else list(path)
        spec = importlib.machinery.PathFinder.find_spec(fullname, where, target)
        if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            return None
        file = Path(spec.loader.path).resolve()
        if not self.owns(file):
            return None
        if file.parent not in self.folders:
            self.folders.append(file.parent)
        spec.loader = _SiblingLoader(fullname, spec.loader.path)
        spec.loader.opts = self.opts
        return spec


class _SiblingLoader(importlib.machinery.SourceFileLoader):
    opts: Overrides

    def get_code(self, fullname: str) -> types.CodeType:
        return _compile(Path(self.path), self.opts)[0]


@contextmanager
def _importable(path: Path, opts: Overrides | None = None) -> Iterator[_Siblings]:
    """Put the config's folder and the current directory on the path; with `opts`, forget the siblings afterwards."""
    siblings = _Siblings(path, opts or Overrides())
    before, known = list(sys.path), set(sys.modules)
    sys.path[:0] = [str(siblings.folder), str(siblings.here)]
    importlib.invalidate_caches()
    if opts is not None:
        sys.meta_path.insert(0, siblings)
    try:
        yield siblings
    finally:
        if opts is not None:
            sys.meta_path.remove(siblings)
            new = set(sys.modules) - known
            for name in [name for name in new if _is_sibling(sys.modules[name], siblings)]:
                del sys.modules[name]
        sys.path[:] = before  # last: the path of a package without __init__.py follows sys.path


def _is_sibling(module: types.ModuleType, siblings: _Siblings) -> bool:
    spec = getattr(module, "__spec__", None)
    if spec is None:
        return False
    if isinstance(spec.loader, _SiblingLoader):
        return True
    folders = spec.submodule_search_locations if spec.origin is None else None  # a package without __init__.py
    return any(siblings.owns(Path(folder).resolve()) for folder in folders or ())


def _compile(path: Path, opts: Overrides) -> tuple[types.CodeType, ast.Module]:
    tree = ast.parse(path.read_bytes(), filename=str(path))
    return compile(opts.rewrite(tree), str(path), "exec", dont_inherit=True), tree


def _execute(path: Path, opts: Overrides, siblings: _Siblings) -> tuple[dict[str, Any], set[str]]:
    """Run the config; return its namespace and the names that it took from other modules."""
    namespace = {"__name__": path.stem, "__file__": str(path), "__builtins__": __builtins__}
    try:
        code, tree = _compile(path, opts)
        exec(code, namespace)
    except HatliteError:
        raise
    except SyntaxError as cause:
        where = f"{cause.filename or path}:{cause.lineno or 1}"
        raise ConfigError(f"{where}: the config is not valid Python: {cause.msg}.", path=where) from cause
    except (Exception, SystemExit) as cause:
        where, line = _place(cause, path, siblings)
        said = f"\n  The line is: {line}" if line else ""
        raise ConfigError(f"{where}: {type(cause).__name__}: {cause}{said}{_instead(cause)}", path=where) from cause
    froms = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return namespace, {alias.asname or alias.name for node in froms for alias in node.names}


def _instead(error: BaseException) -> str:
    """Return what to write in the place of an import of the toolkit that the config was written for."""
    module = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if module not in ("hat", "horizon_plugin_pytorch"):
        return ""
    return (
        f'\n  Configs need no import of {module}: leave it out, write types as texts, such as type="FCOS", and'
        ' VERSION = "v2" for ConfigVersion.v2.'
    )


def _place(error: BaseException, path: Path, siblings: _Siblings) -> tuple[str, str]:
    """Return ``file:line`` and the text of the innermost line that stands in a config."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f.filename.endswith(".py") and siblings.owns(Path(f.filename).resolve())]
    return (f"{ours[-1].filename}:{ours[-1].lineno}", ours[-1].line or "") if ours else (str(path), "")


def _is_value(name: str, value: Any, imported: set[str]) -> bool:
    if name.startswith("_") or isinstance(value, types.ModuleType):
        return False
    return not (name in imported and callable(value))


def _import_custom(names: Any, path: Path) -> None:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        text = f"{path}: custom_imports is {names!r}; expected a list of module names."
        raise ConfigError(text, path="config['custom_imports']")
    for name in names:
        try:
            importlib.import_module(name)
        except HatliteError:
            raise
        except (Exception, SystemExit) as cause:
            raise ConfigError(
                f"{path}: custom_imports names {name!r}, which cannot be imported: {type(cause).__name__}: {cause}."
                f"\n  Looked in {path.resolve().parent}, {Path.cwd()} and the installed packages.",
                path="config['custom_imports']",
            ) from cause


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item) for item in value), key=str)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if callable(value) and hasattr(value, "__qualname__"):
        return dotted(value)
    shape = f" {value.dtype} {list(value.shape)}" if hasattr(value, "dtype") and hasattr(value, "shape") else ""
    return f"<{dotted(type(value))}{shape}>"


def dotted(target: type | Callable) -> str:
    """Return the shortest import path of a class or function: ``torch.optim.SGD``, not ``torch.optim.sgd.SGD``."""
    packages = target.__module__.split(".")
    for depth in range(1, len(packages)):
        package = ".".join(packages[:depth])
        if getattr(sys.modules.get(package), target.__qualname__, None) is target:
            return f"{package}.{target.__qualname__}"
    return f"{target.__module__}.{target.__qualname__}"
