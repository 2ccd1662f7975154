"""What a package exports exists and stands in order."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for file in (ROOT / "hatlite").rglob("*.py")
)
PACKAGES = sorted(".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "hatlite").rglob("__init__.py"))


def order(name: str) -> tuple[int, str]:
    """CONSTANTS, Classes, functions, each by the alphabet."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2), name


@pytest.mark.parametrize("name", MODULES)
def test_exports_exist_and_are_sorted(name: str) -> None:
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", [])
    assert list(exported) == sorted(set(exported), key=order)
    assert [attribute for attribute in exported if not hasattr(module, attribute)] == []
    assert [attribute for attribute in exported if attribute.startswith("_")] == []


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_says_what_it_exports(name: str) -> None:
    package = importlib.import_module(name)
    imported = [key for key, value in vars(package).items() if getattr(value, "__module__", name) != name]
    assert set(imported) <= set(getattr(package, "__all__", [])) | {key for key in imported if key.startswith("__")}


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    assert not {"utils", "util", "common", "misc", "helpers"} & {part for name in MODULES for part in name.split(".")}
