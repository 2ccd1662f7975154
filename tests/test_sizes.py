"""Files, functions and classes stay readable; what is public is documented and annotated."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(file for folder in ("hatlite", "tools") for file in (ROOT / folder).rglob("*.py"))
PACKAGE = [file for file in SOURCES if file.is_relative_to(ROOT / "hatlite")]
FILE_LINES, BODY_LINES, CLASS_LINES, TOOL_LINES = 400, 50, 250, 130
POSITIONAL = 6

Function = ast.FunctionDef | ast.AsyncFunctionDef


def relative(file: Path) -> str:
    return str(file.relative_to(ROOT))


def lines(node: ast.AST) -> int:
    return node.end_lineno - node.lineno + 1


def body_lines(function: Function) -> int:
    """Lines of a body without its docstring."""
    documented = ast.get_docstring(function, clean=False) is not None
    body = function.body[1:] if documented else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def members(tree: ast.AST, scope: tuple[ast.AST, ...] = ()) -> Iterator[tuple[tuple[ast.AST, ...], ast.AST]]:
    """Yield every class and function with what encloses it."""
    for node in ast.iter_child_nodes(tree):
        inside = scope
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield scope, node
            inside = (*scope, node)
        yield from members(node, inside)


def is_public(scope: tuple[ast.AST, ...], node: ast.ClassDef | Function) -> bool:
    return all(isinstance(s, ast.ClassDef) for s in scope) and not any(n.name.startswith("_") for n in (*scope, node))


def test_there_is_something_to_measure() -> None:
    assert len(PACKAGE) > 10


@pytest.mark.parametrize("file", SOURCES, ids=relative)
def test_sizes(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= (FILE_LINES if file in PACKAGE else TOOL_LINES)
    for _, node in members(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            assert lines(node) <= CLASS_LINES, f"class {node.name} has {lines(node)} lines"
        else:
            assert body_lines(node) <= BODY_LINES, f"{node.name} has {body_lines(node)} lines"
            names = [argument.arg for argument in node.args.posonlyargs + node.args.args]
            count = len(names) - (names[:1] in (["self"], ["cls"]))
            is_layer = node.name == "__init__"  # built from a config, by name
            assert is_layer or count <= POSITIONAL, f"{node.name} takes {count} positional arguments"


@pytest.mark.parametrize("file", PACKAGE, ids=relative)
def test_what_is_public_is_annotated(file: Path) -> None:
    for scope, node in members(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) or not is_public(scope, node):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
        assert not bare, f"{node.name} does not annotate {', '.join(bare)}"
        assert node.returns is not None, f"{node.name} does not annotate what it returns"


@pytest.mark.parametrize("file", PACKAGE, ids=relative)
def test_what_is_public_is_documented(file: Path) -> None:
    module = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    missing = [] if module.__doc__ else ["the module"]
    for scope, node in members(ast.parse(file.read_text(encoding="utf-8"))):
        if is_public(scope, node):
            owner = module
            for parent in scope:
                owner = getattr(owner, parent.name)
            if not inspect.getdoc(getattr(owner, node.name)):  # its own docstring or the one that it inherits
                missing.append(".".join(n.name for n in (*scope, node)))
    assert not missing, f"without a docstring: {', '.join(missing)}"
