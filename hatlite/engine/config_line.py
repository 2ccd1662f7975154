"""What the text of a config tells, also where a variant takes it from its sibling: lines, and the names it uses."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["line_of", "names_used"]


def line_of(file: Path, keys: Sequence[str]) -> tuple[Path, int] | None:
    """Return file and line on which the dict ``keys[0]`` of a config sets ``keys[1]``, and so on; the last one counts.

    That may be a later ``model["neck"] = …`` or ``model["head"].update(…)``. Where the dict is a copy, as in
    ``model = copy.deepcopy(sibling.model)``, and sets it nowhere itself, it is a line of the sibling.

    Args:
        file: Of the config; one that does not exist has no lines.
        keys: Such as ``["model", "backbone"]``.

    Returns:
        None where the config does not set it in so many words.
    """
    if not file.is_file():
        return None
    tree = ast.parse(file.read_bytes())
    for node in reversed(tree.body):
        if isinstance(node, ast.ImportFrom) and any((a.asname or a.name) == keys[0] for a in node.names):
            name = next(alias.name for alias in node.names if (alias.asname or alias.name) == keys[0])
            return _first(line_of(sibling, [name, *keys[1:]]) for sibling in _files(file, node.module or ""))
        for path, value in _settings(node):
            if path == list(keys[: len(path)]):
                return _line_in(file, tree, value, keys[len(path) :])
    return None


def _line_in(file: Path, tree: ast.Module, value: ast.AST, keys: Sequence[str]) -> tuple[Path, int] | None:
    """Return the line of `keys` in a `value` of the config, or in what it copies."""
    found: ast.AST | None = value
    for key in keys:
        found = _value(found, key)
    if found is not None:
        return file, found.lineno  # type: ignore[attr-defined]
    return _first(line_of(sibling, [name, *keys]) for sibling, name in _copied(file, tree, value))


def _settings(node: ast.stmt) -> Iterator[tuple[list[str], ast.expr]]:
    """Yield path and value of everything that a statement sets.

    The path is ``["model", "neck"]`` for ``model["neck"] = …``, ``model.update(neck=…)`` and ``model |= {"neck": …}``.
    """
    if isinstance(node, ast.Assign):
        yield from ((path, node.value) for path in map(_path, node.targets) if path)
        return
    given: list[ast.expr] = []
    target: ast.expr | None = None
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.BitOr):
        target, given = node.target, [node.value]
    elif isinstance(node, ast.Expr) and isinstance(call := node.value, ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "update":
            target, given = call.func.value, [call, *call.args]
    path = _path(target) if target else []
    for value in given if path else ():
        yield from (([*path, key], entry) for key, entry in _entries(value))


def _path(node: ast.expr) -> list[str]:
    """Return ``["model", "neck"]`` for ``model["neck"]``; empty for what is no such place."""
    keys: list[str] = []
    while isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        keys, node = [node.slice.value, *keys], node.value
    return [node.id, *keys] if isinstance(node, ast.Name) else []


def names_used(file: Path) -> set[str]:
    """Return the names that a config and the siblings it imports read themselves, wherever these are set.

    Args:
        file: Of the config; one that does not exist uses none.
    """
    used: set[str] = set()
    left, seen = [file], set()
    while left:
        one = left.pop().resolve()
        if one in seen or not one.is_file():
            continue
        seen.add(one)
        for node in ast.walk(ast.parse(one.read_bytes())):
            if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
                used.add(node.id if isinstance(node, ast.Name) else node.attr)
            elif isinstance(node, ast.Import):
                left += [path for alias in node.names for path in _files(one, alias.name)]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
                left += [path for module in modules if module for path in _files(one, module)]
    return used


def _value(node: ast.AST | None, key: str) -> ast.AST | None:
    return next((value for name, value in _entries(node) if name == key), None)


def _entries(node: ast.AST | None) -> Iterator[tuple[str, ast.expr]]:
    """Yield keys and values of a dict, written either way."""
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        yield from ((name.value, value) for name, value in pairs if isinstance(name, ast.Constant))  # type: ignore[misc]
    elif isinstance(node, ast.Call):
        yield from ((one.arg, one.value) for one in node.keywords if one.arg is not None)


def _copied(file: Path, tree: ast.Module, value: ast.AST) -> Iterator[tuple[Path, str]]:
    """Yield file and name of everything in `value` that belongs to a module which the config imports."""
    modules: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(value):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in modules:
            yield from ((sibling, node.attr) for sibling in _files(file, modules[ast.unparse(node.value)]))


def _files(file: Path, module: str) -> Iterator[Path]:
    """Yield the file of a sibling, which lies beside the config or below the current directory."""
    for folder in (file.parent, Path.cwd()):
        yield folder.joinpath(*module.split(".")).with_suffix(".py")


def _first(places: Iterator[tuple[Path, int] | None]) -> tuple[Path, int] | None:
    return next((place for place in places if place is not None), None)
