"""What the tool prints and paints."""

import runpy
from pathlib import Path

import pytest
from spots import spot_run

from hatlite import config as config_module
from hatlite.command import run_tool

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "predict.py"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return spot_run(tmp_path_factory.mktemp("spots"), last="float")


@pytest.fixture
def predict(run, monkeypatch):
    monkeypatch.setattr(config_module, "load", lambda source, opts: run.config)

    def call(*words):
        arguments = TOOL["parser"]().parse_args(["--stage", "float", "spots.py", *map(str, words)])
        return run_tool(lambda: TOOL["main"](arguments))

    return call


def test_metrics_are_printed(predict, capsys):
    assert predict() == 0
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert printed["mAP"] == "1" and printed["images"] == "3"


def test_results_are_painted_beside_them(predict, tmp_path, capsys):
    assert predict("--show-dir", tmp_path / "new" / "out", "--show-score-thr", "0.9") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["mAP", "1"]
    assert printed[-1] == f"Painted: 3 images in {tmp_path / 'new' / 'out'}"
    assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == [
        "00000_1.jpg",
        "00001_2.jpg",
        "00002_3.jpg",
    ]


def test_a_threshold_of_what_is_not_painted_is_refused(predict, capsys):
    assert predict("--show-score-thr", "0.9") == 2
    said = "ConfigError: --show-score-thr says what is painted, and nothing is; add --show-dir DIR, or leave it out.\n"
    assert capsys.readouterr() == ("", said)


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_evaluated(predict, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert predict("--show-dir", tmp_path / "file" / "out") == 2
    printed, error = capsys.readouterr()
    assert printed == "" and "cannot be written" in error
