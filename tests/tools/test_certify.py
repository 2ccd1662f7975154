"""What the tool says, writes and how it ends."""

import json
import runpy
from pathlib import Path

import pytest

from hatlite import engine
from hatlite.command import run_tool
from hatlite.program import certify, save
from hatlite.program.samples import random_program

TOOL = Path(__file__).parents[2] / "tools" / "certify.py"


@pytest.fixture
def path(tmp_path):
    return save(random_program(3, length=5), tmp_path / "random.hbir")


@pytest.fixture
def tool(capsys):
    """Run the tool with arguments; return its exit code and what it said."""
    module = runpy.run_path(str(TOOL))

    def call(*words):
        arguments = module["parser"]().parse_args([str(word) for word in words])
        code = run_tool(lambda: module["main"](arguments))
        return code, "".join(capsys.readouterr())

    return call


def test_a_file_is_proven_written_and_checked(tool, path, tmp_path):
    code, said = tool(path, "--json", tmp_path / "certificate.json")
    assert code == 0 and "int64: " in said and f"Written: {tmp_path / 'certificate.json'}" in said
    assert json.loads((tmp_path / "certificate.json").read_text(encoding="utf-8"))["program"] == "random.hbir"
    assert tool("--check", tmp_path / "certificate.json") == (0, f"{tmp_path / 'certificate.json'} holds: {path}.\n")


def test_a_certificate_that_does_not_hold(tool, path, tmp_path):
    tool(path, "--json", tmp_path / "certificate.json")
    save(random_program(4), path)
    code, said = tool("--check", tmp_path / "certificate.json")
    assert code == 1 and "certificate.json does not hold:\n  it is about a program with the checksum" in said


def test_a_required_rule_that_is_missing(tool, tmp_path):
    path = save(random_program(0, length=14), tmp_path / "random.hbir")
    assert tool(path, "--require", "int64", "float64")[0] == 0
    code, said = tool(path, "--require", "float32")
    assert code == 2 and "ProgramError: random.hbir: " in said and "is not proven for 'float32' in" in said


def test_a_program_or_a_run(tool, path, tmp_path):
    code, said = tool(path, "--config", "tiny.py")
    assert code == 2 and f"Two things are to be certified, {path} and the run of tiny.py; name one." in said
    code, said = tool(tmp_path / "none.py")
    assert code == 2 and "There is no config file" in said


def test_nothing_to_certify(tool, tmp_path):
    assert tool() == (2, "ProgramError: There is nothing to certify: name a .hbir file, or a run with --config.\n")
    code, said = tool(tmp_path / "none.hbir")
    assert code == 2 and "none.hbir: cannot be read (No such file" in said


def test_a_run(tool, path, tmp_path, monkeypatch):
    config = tmp_path / "tiny.py"
    config.write_text(f"task_name = 'tiny'\nckpt_dir = {str(tmp_path)!r}\n", encoding="utf-8")
    monkeypatch.setattr(engine, "certify_stage", lambda run: certify(path, {certify(path).layers[0].layer: [0.25]}))
    code, said = tool("--config", config)
    assert code == 0 and "2.5e-01" in said


def test_a_run_without_a_program_says_what_to_do(tool, tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text(f"task_name = 'tiny'\nckpt_dir = {str(tmp_path)!r}\n", encoding="utf-8")
    code, said = tool("--config", config)
    assert code == 2 and "Export it first: python tools/export_hbir.py --config" in said
