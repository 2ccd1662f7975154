"""What the tool prints and writes."""

import runpy
from pathlib import Path

import pytest
from spots import spot_run

from hatlite import config as config_module
from hatlite.command import run_tool

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "confusion_matrix.py"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return spot_run(tmp_path_factory.mktemp("spots"), last="float")


@pytest.fixture
def confusion(run, monkeypatch):
    monkeypatch.setattr(config_module, "load", lambda source, opts: run.config)

    def call(*words):
        arguments = TOOL["parser"]().parse_args(["spots.py", *map(str, words)])
        return run_tool(lambda: TOOL["main"](arguments))

    return call


def test_the_last_stage_is_counted_into_the_folder_of_the_run(confusion, run, capsys):
    assert confusion() == 0
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert printed[0] == ["stage", "float"]
    assert printed[3] == ["spot", "3", "3", "0", "0", "0"]
    assert (run.folder / "confusion_matrix.png").is_file()
    assert (run.folder / "confusion_matrix.csv").read_text().splitlines()[2] == "spot,0,3,0"


def test_thresholds_and_a_folder_of_choice(confusion, tmp_path, capsys):
    assert confusion("--score-threshold", "0.9", "--out", tmp_path / "new") == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "confusion_matrix.csv",
        "confusion_matrix.png",
    ]
    assert (tmp_path / "new" / "confusion_matrix.csv").read_text().splitlines()[2] == "spot,0,0,3"


def test_a_picture_is_no_folder(confusion, tmp_path, capsys):
    assert confusion("--out", tmp_path / "cm.png") == 2
    assert f"cm.png looks like a file; expected a folder, such as {tmp_path / 'cm'}, for" in capsys.readouterr().err
    assert not (tmp_path / "cm.png").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--iou-threshold", "0"), "ConfusionMatrix: score_threshold is 0.3 and iou_threshold 0.0; expected numbers"),
        (("--stage", "qat"), "There is no checkpoint"),
        (("--stage", "flaot"), "There is no stage 'flaot'"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_written(confusion, tmp_path, words, sentence, capsys):
    assert confusion(*words, "--out", tmp_path / "out") == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
