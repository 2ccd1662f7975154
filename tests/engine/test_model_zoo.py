"""Rows, cells and what is kept; docs/model_zoo.md is what tools/model_table.py writes from the configs of now."""

import json
import runpy
from pathlib import Path

import pytest

from hatlite.engine import find_configs, kept_results, model_zoo, zoo_rows, zoo_table
from hatlite.errors import ConfigError
from hatlite.march import MARCHES

ROOT = Path(__file__).parents[2]

HEADER = '''"""A run.

| stage | mAP  | AP50 | tidl mAP | AP50 |
| ----- | ---- | ---- | -------- | ---- |
| float | 0.5  | 0.75 |          |      |
| qat   | 0.48 | 0.74 | 0.4      | 0.7  |
"""
'''
RUN = """
import torch

task_name = "small"
march = "bayes-sim"
model = dict(type="SSD", backbone=dict(type="ResNet", depth=50), neck=dict(type="FPN"))
deploy_inputs = dict(img=torch.zeros(1, 3, 192, 256))
"""


@pytest.fixture
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def worked_out(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for what takes minutes; return the marches that it was done for."""
    marches: list[str] = []

    def work_out(run: object, shape: tuple, march: str) -> dict:
        marches.append(march)
        return {"stride": 32, "macs": 1_234_000_000, "ms": 2.5 if march == "bayes-sim" else None}

    monkeypatch.setattr(model_zoo, "_work_out", work_out)
    return marches


def write(folder: Path, text: str) -> Path:
    file = folder / "configs" / "small.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def test_a_row_for_each_march(tmp_path: Path, worked_out: list[str]) -> None:
    rows = zoo_rows([write(tmp_path, HEADER + RUN)], {})
    assert worked_out == list(MARCHES)
    assert zoo_table(rows, tmp_path / "docs").splitlines()[2:] == [
        "| SSD, FPN | ResNet 50 | 32     | 192×256    | bayes-sim | 0.5000 / 0.7500 |             | 0.4800 / 0.7400 |"
        "           | 1.23  | 2.500 | [small](../configs/small.py) |",
        "| SSD, FPN | ResNet 50 | 32     | 192×256    | tidl      | 0.5000 / 0.7500 |             | 0.4000 / 0.7000 |"
        "           | 1.23  |       | [small](../configs/small.py) |",
    ]


def test_a_march_that_cannot_run_it_has_no_row_unless_it_is_the_configs_own(
    tmp_path: Path, worked_out: list[str]
) -> None:
    rows = zoo_rows([write(tmp_path, RUN)], {})
    assert [row.march for row in rows] == ["bayes-sim"]
    rows = zoo_rows([write(tmp_path, RUN.replace('march = "bayes-sim"', 'march = "tidl"'))], {})
    assert [row.march for row in rows] == ["bayes-sim", "tidl"]
    assert worked_out == 2 * list(MARCHES)


def test_a_config_that_assigns_no_march_has_its_own_alone(tmp_path: Path, worked_out: list[str]) -> None:
    zoo_rows([write(tmp_path, RUN.replace('march = "bayes-sim"', ""))], {})
    assert worked_out == ["bayes-sim"]


def test_without_integers_there_is_no_march(tmp_path: Path, worked_out: list[str]) -> None:
    file = write(tmp_path, HEADER.replace("| qat", "| float2") + RUN + 'stages = [dict(name="float", kind="float")]\n')
    with pytest.raises(ConfigError, match=r"small\.py:6: the row is called 'float2'; expected a stage of the config"):
        zoo_rows([file], {})
    (row,) = zoo_rows([write(tmp_path, RUN + 'stages = [dict(name="float", kind="float")]\n')], {})
    assert worked_out == [""]
    assert row.march == "" and row.accuracy == {}


def test_what_has_not_changed_is_not_worked_out_again(tmp_path: Path, worked_out: list[str]) -> None:
    table = tmp_path / "zoo.md"
    file = write(tmp_path, RUN)
    with kept_results(table) as kept:
        kept["configs/gone.py"] = {"tidl": {"checksum": "0"}}
        zoo_rows([file], kept)
    with kept_results(table) as kept:
        assert list(kept) == [file.as_posix()]
        zoo_rows([write(tmp_path, HEADER + RUN)], kept)  # a header is no part of the network
    assert worked_out == list(MARCHES)
    said: list[str] = []
    with kept_results(table) as kept:
        zoo_rows([write(tmp_path, RUN.replace("depth=50", "depth=18"))], kept, said.append)
    assert said == [f"{file} on {march} is counted and estimated." for march in MARCHES]
    with kept_results(table, afresh=True) as kept:
        assert kept == {}


def test_what_was_worked_out_is_kept_when_the_work_breaks_off(tmp_path: Path, worked_out: list[str]) -> None:
    bad = write(tmp_path, RUN).with_name("zz.py")
    bad.write_text('task_name = "x"\nmodel = dict(type="SSD")\n')
    with pytest.raises(ConfigError, match=r"zz\.py has no deploy_inputs, .* write deploy_inputs = dict\(img="):
        with kept_results(tmp_path / "zoo.md") as kept:
            zoo_rows(find_configs(tmp_path / "configs"), kept)
    with kept_results(tmp_path / "zoo.md") as kept:
        assert sorted(kept[str(tmp_path / "configs/small.py")]) == sorted(MARCHES)


def test_mistakes_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no configs; name a folder with Python files of dicts"):
        find_configs(tmp_path)
    with pytest.raises(ConfigError, match=r"small\.py: config\['task_name'\] is missing"):
        zoo_rows([write(tmp_path, "model = dict()\n")], {})
    (tmp_path / "zoo.json").write_text("[1]")
    with pytest.raises(ConfigError, match=r"zoo\.json is damaged .*; delete it, and everything is worked out again"):
        with kept_results(tmp_path / "zoo.md"):
            pass


@pytest.mark.usefixtures("at_the_root")
def test_the_page_is_what_the_tool_writes(tmp_path: Path) -> None:
    """Nothing is worked out here: a network that changed has another checksum than the one that is kept."""
    tool = runpy.run_path("tools/model_table.py")
    page = ROOT / "docs" / "model_zoo.md"
    kept = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    rows = zoo_rows(find_configs("configs"), kept, lambda line: pytest.fail(f"Run tools/model_table.py: {line}"))
    text = tool["TEXT"].format(configs="configs", out="docs/model_zoo.md", table=zoo_table(rows, "docs"))
    assert page.read_text(encoding="utf-8") == text, "Run tools/model_table.py."


@pytest.mark.slow
@pytest.mark.usefixtures("at_the_root")
@pytest.mark.parametrize("file", find_configs(ROOT / "configs"), ids=lambda file: file.stem)
def test_kept_results_follow_from_the_code_of_now(file: Path) -> None:
    kept = json.loads((ROOT / "docs" / "model_zoo.json").read_text(encoding="utf-8"))
    afresh: dict = {}
    zoo_rows([file.relative_to(ROOT)], afresh)
    (name,) = afresh
    assert afresh[name] == kept[name]
