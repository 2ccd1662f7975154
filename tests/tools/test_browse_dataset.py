"""What the tool prints and writes."""

import runpy
from pathlib import Path

import pytest
from spots import spot_config

from hatlite import config as config_module
from hatlite.command import run_tool

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "browse_dataset.py"))


@pytest.fixture
def browse(tmp_path, monkeypatch):
    config = spot_config(tmp_path)
    monkeypatch.setattr(config_module, "load", lambda source, opts: config)

    def call(*words):
        arguments = TOOL["parser"]().parse_args(["spots.py", "--out", str(tmp_path / "out"), *words])
        return run_tool(lambda: TOOL["main"](arguments))

    return call


def test_pictures_and_a_line_for_each(browse, tmp_path, capsys):
    assert browse("--stage", "calibration", "--indices", "2", "0", "--epochs", "2") == 0
    printed = capsys.readouterr().out.splitlines()
    size = "24×24 with spot 1"
    assert printed[0] == f"{tmp_path / 'out' / '00002_3.jpg'}: 3.png: 32×48 with spot 1 → {size} → {size}"
    assert printed[2] == f"{tmp_path / 'out' / 'contact_sheet.jpg'}: the first 2"


def test_data_that_is_missing_is_one_sentence(browse, tmp_path, capsys):
    assert browse("--split", "train") == 2
    assert (
        "config['float_trainer']['data_loader'] is missing, the data of the split 'train' in stage 'float'"
        in capsys.readouterr().err
    )
    (tmp_path / "1.png").write_bytes(b"no picture")
    assert browse("--split", "val") == 2
    assert "1.png (10 bytes) cannot be decoded" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
