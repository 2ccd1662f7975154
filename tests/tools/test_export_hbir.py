"""The tool writes what the stage int_infer writes."""

import runpy
from pathlib import Path

import pytest
from spots import spot_run

from hatlite import config as config_module
from hatlite.command import run_tool

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "export_hbir.py"))


@pytest.fixture
def export(monkeypatch):
    """Return ``export(run, *words) -> exit code``."""

    def call(run, *words):
        monkeypatch.setattr(config_module, "load", lambda source, opts: run.config)
        arguments = TOOL["parser"]().parse_args(["spots.py", *map(str, words)])
        return run_tool(lambda: TOOL["main"](arguments))

    return call


def test_the_program_is_that_of_int_infer(export, tmp_path, capsys):
    run = spot_run(tmp_path)
    before = run.program().read_bytes()
    run.program().unlink()
    capsys.readouterr()
    assert export(run) == 0
    assert capsys.readouterr().out == f"Written: {run.program()}\n"
    assert run.program().read_bytes() == before
    assert export(run, "--ckpt", run.checkpoint("calibration")) == 0
    assert run.program().read_bytes() == before


def test_without_a_quantised_checkpoint_it_says_what_to_run(export, tmp_path, capsys):
    run = spot_run(tmp_path, last="float")
    assert export(run) == 2
    assert "Run this first: python tools/train.py --stage qat" in capsys.readouterr().err
    assert export(run, "--ckpt", run.checkpoint("float")) == 2
    assert "CheckpointError: " in capsys.readouterr().err
    assert export(run, "--ckpt", "other.hbir") == 2
    assert "other.hbir is a program already; name the checkpoint of a calibration" in capsys.readouterr().err
    assert not run.program().exists()
