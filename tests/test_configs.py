"""Every shipped config loads, and everything in it can be built by name and key."""

import ast
import re
from pathlib import Path

import pytest

from hatlite import config
from hatlite.engine import STAGE_KINDS, Run
from hatlite.engine.validate import find_problems

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(file for file in (ROOT / "configs").rglob("*.py") if not file.name.startswith("_"))


def relative(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", CONFIGS, ids=relative)
def test_it_loads_and_every_type_and_key_exists(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    cfg = config.load(file)
    assert [str(problem) for problem in find_problems(Run(cfg), STAGE_KINDS)] == []
    assert config.to_json(cfg) == config.to_json(config.load(file))
    assert isinstance(cfg["task_name"], str)


@pytest.mark.parametrize("file", CONFIGS, ids=relative)
def test_it_is_a_run_of_its_own(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.startswith(("#", '"""')), "a config opens with its commands and its measured numbers"
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not [name for name in names if name.partition(".")[0] == "hatlite"], "configs never import hatlite"


@pytest.mark.parametrize("file", CONFIGS, ids=relative)
def test_it_sets_a_name_once(file: Path) -> None:
    assigned = [node for node in ast.parse(file.read_bytes()).body if isinstance(node, ast.Assign)]
    names = [target.id for node in assigned for target in node.targets if isinstance(target, ast.Name)]
    assert sorted(names) == sorted(set(names))


def test_a_config_may_ask_for_bgr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    cfg = config.load(ROOT / "configs/detection/ssd/ssd_regnetx800mf_fpn_512_voc.py", ["to_bgr=True"])
    loaders = [Run(cfg).config[f"{part}data_loader"] for part in ("", "val_", "qat_", "calibration_")]
    asked = [re.findall(r"'to_bgr': (True|False)", repr(loader)) for loader in loaders]
    assert [set(found) for found in asked] == [{"True"}] * 4
