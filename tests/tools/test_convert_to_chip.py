"""What the tool asks for, prints and how it ends."""

import runpy
from pathlib import Path

import pytest
from gnetdet_programs import gnetdet_program

from hatlite import engine
from hatlite.chip import read_chip_model
from hatlite.command import run_tool
from hatlite.program import dumps, save

TOOL = Path(__file__).parents[2] / "tools" / "convert_to_chip.py"
CONFIG = """
task_name, ckpt_dir, march = "tiny", {folder!r}, "gti5801"
num_classes, classes = 1, ["head"]
stages = [dict(name="qat_31", kind="qat"), dict(name="int_infer", kind="int_infer", starts_from="qat_31")]
"""


@pytest.fixture
def tool(capsys, tmp_path):
    """Run the tool with arguments on a config of its own; return its exit code and what it said."""
    module = runpy.run_path(str(TOOL))
    config = tmp_path / "tiny.py"
    config.write_text(CONFIG.format(folder=str(tmp_path / "run")), encoding="utf-8")

    def call(*words, config=config):
        arguments = module["parser"]().parse_args([*(["--config", str(config)] if config else []), *map(str, words)])
        code = run_tool(lambda: module["main"](arguments))
        return code, "".join(capsys.readouterr())

    return call


def test_it_says_what_was_written_and_what_it_is_not(tool, tmp_path):
    path = save(gnetdet_program(224), tmp_path / "tiny.hbir")
    code, said = tool("--ckpt", path)
    out = tmp_path / "run" / "model" / "out.model"
    assert code == 0 and f"Written: {out}\n" in said
    assert "6 of 7 major layers; weights take " in said
    assert f"{out} is hatlite's own container and not the vendor's binary: run it by tools/GNetDet.py." in said
    assert dumps(read_chip_model(out)) == path.read_bytes()


def test_flags(tool, tmp_path):
    path = save(gnetdet_program(224), tmp_path / "tiny.hbir")
    for words, learning in ((("--learning",), 6), (("--learning", 1, 2), 2), (("--last-layer-out", 6), 0)):
        assert tool("--ckpt", path, "-o", tmp_path / "mine.model", *words)[0] == 0
        assert (tmp_path / "5801_gnetdet_dat.json").read_text().count('"learning": true') == learning
    code, said = tool("--ckpt", path, "--learning", "--last-layer-out", "1")
    assert code == 2 and "MarchError: Results of inner layers are asked for by --learning" in said


def test_keys_of_the_toolkit(tool, tmp_path):
    path, out = save(gnetdet_program(224), tmp_path / "tiny.hbir"), tmp_path / "mine.model"
    assert tool("best-ckpt-path", path, f"out-model-path={out}", "dump-mode", "true")[0] == 0
    assert out.is_file()
    assert (tmp_path / "5801_gnetdet_dat.json").read_text().count('"learning": true') == 6


def test_what_does_not_fit(tool, tmp_path):
    path = save(
        gnetdet_program(448, ten_bits=False, widths=(4, 4, 8, 8, *[16] * 4, 32, *[16] * 6)), tmp_path / "t.hbir"
    )
    code, said = tool("--ckpt", path)
    assert code == 2 and "MarchError: gnetdet does not fit the GTI 5801: it needs 9 major layers" in said
    assert not (tmp_path / "run").exists()


def test_without_arguments_it_takes_the_config_of_448(tool, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, said = tool(config=None)
    assert code == 2 and "tmp_models/gnetdet_448_voc/qat_31-checkpoint-best.pth.tar, which does not exist" in said
    assert "Run this first: python tools/train.py --stage qat_31 --config " in said


def test_what_the_config_lacks(tool):
    code, said = tool()
    assert code == 2 and "config['model'] is missing" in said


@pytest.mark.parametrize(("words", "asked"), [((3,), 3), (("all",), None)])
@pytest.mark.parametrize(("differing", "code"), [(0, 0), (5, 1)])
def test_the_exit_code_is_the_verdict_on_what_was_written(tool, tmp_path, monkeypatch, words, asked, differing, code):
    calls = []

    def verify(run, *arguments):
        calls.append(arguments)
        return engine.ChipReport(arguments[0], 3, {"pixels": 9, "integers": 9, "reals": 9}, {"integers": differing})

    monkeypatch.setattr(engine, "verify_chip", verify)
    path, out = save(gnetdet_program(224), tmp_path / "tiny.hbir"), tmp_path / "run" / "model" / "out.model"
    got, said = tool("--ckpt", path, "--verify", *words)
    assert got == code and calls == [(out, asked, path)]
    assert f"{out} and the network that was trained: 3 images, 9 pixels, 9 integers of the output and 9 real" in said
    assert ("compared, 5 differ: 5 integers of the output." if differing else "compared, 0 differ.") in said


@pytest.mark.parametrize("number", ["0", "-3", "some"])
def test_the_number_of_pictures_is_checked(tool, number, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        tool(f"--verify={number}")
    assert f"is {number!r}; expected a whole number from 1 up, or all" in capsys.readouterr().err
