"""What the tool says and how it ends."""

import json
import runpy
from pathlib import Path

import pytest

from hatlite.command import run_tool
from hatlite.data.image import read_image

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "plot_curves.py"))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    rows = [{"step": step, "epoch": step / 4, "lr": 0.1, "loss/cls": 1 / step} for step in (2, 4, 6)]
    (tmp_path / "run" / "float-scalars.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "run"


def plot(*words):
    return run_tool(lambda: TOOL["main"](TOOL["parser"]().parse_args(list(map(str, words)))))


def test_a_run_becomes_a_picture(folder, tmp_path, capsys):
    assert plot(folder, "--out", tmp_path / "c.png") == 0
    assert capsys.readouterr().out.splitlines() == [
        "float: epoch 1.5, step 6, last loss 0.1667",
        f"Written: {tmp_path / 'c.png'}",
    ]
    assert read_image(tmp_path / "c.png").shape[1] == 2 * 960 + 3 * 15


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--out", "c.gif"), "--out is c.gif; expected a name that ends in .jpg, .jpeg, .png."),
        (("--keys", "mAP"), "No value 'mAP' was written by run; there are loss, lr, loss/cls."),
        (("--stage", "qat"), "of its stages float wrote one"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(folder, tmp_path, monkeypatch, words, sentence, capsys):
    monkeypatch.chdir(tmp_path)
    assert plot(folder, *words) == 2
    assert sentence in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
