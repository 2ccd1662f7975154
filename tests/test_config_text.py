"""Configs written out: what is printed is a config, and gives the same values, the same dicts at the same places."""

import json
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import torch

from hatlite import config
from hatlite.config_text import to_python, value_text
from hatlite.engine import Run

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(file for file in (ROOT / "configs").rglob("*.py") if not file.name.startswith("_"))


def places(value: Any, place: str = "") -> dict[str, int]:
    """Return the identity of every dict by its place."""
    found = {place: id(value)} if isinstance(value, dict) else {}
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, item in pairs:
        found |= places(item, f"{place}.{key}")
    return found


def sharing(cfg: dict) -> set[tuple[str, ...]]:
    """Return the groups of places that hold one dict."""
    groups: dict[int, list[str]] = {}
    for place, identity in places(cfg).items():
        groups.setdefault(identity, []).append(place)
    return {tuple(sorted(group)) for group in groups.values() if len(group) > 1}


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_what_is_printed_is_the_same_config(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    resolved = Run.load(str(file)).config
    cfg = {name: value for name, value in resolved.items() if not isinstance(value, FunctionType)}
    printed = tmp_path / "printed.py"
    printed.write_text(to_python(cfg), encoding="utf-8")
    assert max(map(len, printed.read_text(encoding="utf-8").splitlines())) <= 120
    again = Run.load(str(printed)).config
    assert json.loads(config.to_json(again)) == json.loads(config.to_json(cfg))
    assert {group for group in sharing(cfg) if "." not in group[0][1:]} <= sharing(again)


def test_a_shared_dict_is_written_once_and_a_function_not_at_all() -> None:
    model = {"type": "SSD", "head": {"type": "SSDHead"}}
    cfg = {
        "lr": 0.1,
        "model": model,
        "make": lambda: None,
        "trainer": {"model": model, "optimizer": {"type": torch.optim.SGD}},
        "head": model["head"],
    }
    assert to_python(cfg, {"head": "filled in"}) == (
        "import torch.optim\n\n"
        "lr = 0.1\n"
        'model = dict(type="SSD", head=dict(type="SSDHead"))\n'
        "trainer = dict(model=model, optimizer=dict(type=torch.optim.SGD))\n\n"
        '# filled in\nhead = model["head"]\n'
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{}"),
        ({"lambda": 1, "a b": 2}, '{"lambda": 1, "a b": 2}'),
        ({8: (64,)}, "{8: (64,)}"),
        ('"quoted" ±', '"\\"quoted\\" ±"'),
        (float("inf"), 'float("inf")'),
        ({2, 1}, "{1, 2}"),
        (Path("a/b"), '"a/b"'),
        (int, "int"),
        (torch.bfloat16, "torch.bfloat16"),
        (torch.zeros(1, 3, 2, 2), "torch.zeros((1, 3, 2, 2), dtype=torch.float32)"),
        (np.array([1, 2], np.uint8), "numpy.array([1, 2], dtype=numpy.uint8)"),
        (object(), '"<builtins.object>"'),
    ],
)
def test_values(value: object, text: str) -> None:
    assert value_text(value) == text


def test_long_values_have_a_part_a_line_and_words_are_filled() -> None:
    words = ["aeroplane"] * 12
    text = value_text({"type": "VOCFromImage", "split": "trainval", "classes": words})
    assert text.splitlines() == [
        "dict(",
        '    type="VOCFromImage",',
        '    split="trainval",',
        "    classes=[",
        "        " + ", ".join(['"aeroplane"'] * 8) + ",",
        "        " + ", ".join(['"aeroplane"'] * 4) + ",",
        "    ],",
        ")",
    ]
