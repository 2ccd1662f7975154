"""The tool on a program that lies in the run's folder."""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spots import spot_run

from hatlite import engine
from hatlite.command import run_tool
from hatlite.errors import MarchError, OutputError
from hatlite.program import Conv2d, IntProgram, Port, Requantize, TensorType, Weight, save

TOOL = Path(__file__).parents[2] / "tools" / "compile_perf.py"


@pytest.fixture
def tool() -> dict[str, Any]:
    return runpy.run_path(str(TOOL))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    weight = Weight(np.ones((4, 1, 1, 3), np.int8))
    requantize = Requantize(np.full(4, 16385), np.full(4, 20), -128, 127)
    op = Conv2d(name="c", inputs=("img",), output="y", weight=weight, bias=np.zeros(4, np.int32), requantize=requantize)
    values = {"img": TensorType((8, 8, 3), "int8", 0.5), "y": TensorType((8, 8, 4), "int8", 0.5)}
    ports = (Port("img", "img", "int8", 0.5),), (Port("out", "y", "int8", 0.5),)
    save(IntProgram("tiny", "bayes-sim", *ports, (op,), values), tmp_path / "tiny.hbir")
    config = tmp_path / "tiny.py"
    config.write_text(f"task_name = 'tiny'\nmarch = 'bayes-sim'\nckpt_dir = {str(tmp_path)!r}\n", encoding="utf-8")
    return config


def test_it_prints_a_table_and_writes_json(tool: dict, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = config.parent / "perf"
    tool["main"](tool["parser"]().parse_args(["--config", str(config), "--out-dir", str(out), "--opt", "3"]))
    data = json.loads((out / "perf.json").read_text(encoding="utf-8"))
    assert next(iter(data)) == "latency_ms"
    assert data["macs"] == 8 * 8 * 4 * 3
    printed = capsys.readouterr().out
    assert "Program: " in printed
    assert "opt 3: accepted; what the levels change, and the .hbm file, come with a later compiler." in printed
    assert "no file for a device is made" in printed


def test_nothing_is_written_when_the_march_is_unknown(tool: dict, config: Path) -> None:
    arguments = ["--config", str(config), "--out-dir", str(config.parent / "perf"), "--opts", "march=bayes-sin"]
    with pytest.raises(
        MarchError, match=r"march is 'bayes-sin', which is not registered\.\n  Did you mean 'bayes-sim'\?"
    ):
        tool["main"](tool["parser"]().parse_args(arguments))
    assert not (config.parent / "perf").exists()


def test_the_place_is_tried_before_the_work(tool: dict, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "estimate_run", lambda *args, **kwargs: pytest.fail("the work began"))
    with pytest.raises(OutputError, match="/dev/null/perf cannot be written"):
        tool["main"](tool["parser"]().parse_args(["--config", str(config), "--out-dir", "/dev/null/perf"]))


def test_what_the_config_says_counts_unless_the_command_line_does(tool: dict, config: Path, monkeypatch) -> None:
    monkeypatch.chdir(config.parent)
    with config.open("a") as file:
        file.write("compile_cfg = dict(name='mine', out_dir='perf', opt='O1', hbm='model.hbm', layer_details=True)\n")
    tool["main"](tool["parser"]().parse_args([str(config)]))
    data = json.loads((config.parent / "perf" / "perf.json").read_text(encoding="utf-8"))
    assert (data["name"], data["opt"]) == ("mine", 1)
    tool["main"](tool["parser"]().parse_args([str(config), "--opt", "O3", "--out-dir", "other", "--jobs", "2"]))
    assert json.loads((config.parent / "other" / "perf.json").read_text(encoding="utf-8"))["opt"] == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--ckpt", "a.hbir", "--random-params"], "--ckpt and --random-params contradict one another; leave one out."),
        (["--ckpt", "none.hbir"], "none.hbir: cannot be read (No such file or directory)."),
        (["--random-params"], "The config has neither deploy_inputs nor val_data_loader, so the size of the image is"),
        (["--out-dir", "/dev/null"], "/dev/null cannot be written (File exists); name another place."),
        (["--opts", "compile_cfg.opt=fast"], "config['compile_cfg']: opt is 'fast'; expected one of 0, 1, 2, 3, or O0"),
        (
            ["--opts", "compile_cfg.march=b"],
            "config['compile_cfg']['march'] is 'b' and config['march'] is 'bayes-sim', which",
        ),
    ],
)
def test_what_cannot_be_estimated(
    tool: dict, config: Path, capsys: pytest.CaptureFixture[str], words, sentence
) -> None:
    with config.open("a") as file:
        file.write("model = dict(type='SpotDetector')\ncompile_cfg = dict(opt=3, march='bayes-sim')\n")
    arguments = tool["parser"]().parse_args([str(config), *words])
    assert run_tool(lambda: tool["main"](arguments)) == 2
    assert sentence in capsys.readouterr().err


def test_random_weights_on_request(tool: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = spot_run(tmp_path)
    config = tmp_path / "spots.py"
    keys = ("task_name", "num_classes", "ckpt_dir", "march", "model")
    text = "\n".join(f"{key} = {run.config[key]!r}" for key in keys)
    config.write_text(f"import torch\n{text}\ndeploy_inputs = dict(img=torch.zeros(1, 3, 24, 24))\n")
    words = [str(config), "--out-dir", str(tmp_path / "out")]
    tool["main"](tool["parser"]().parse_args(words))
    written = (tmp_path / "out" / "perf.json").read_text(encoding="utf-8")
    assert f"Program: {run.program()}" in capsys.readouterr().out
    tool["main"](tool["parser"]().parse_args([*words, "--random-params"]))
    assert "Random weights: as asked for." in capsys.readouterr().out
    assert (tmp_path / "out" / "perf.json").read_text(encoding="utf-8") == written  # cycles ask for no weights
    tool["main"](tool["parser"]().parse_args([*words, "--ckpt", str(run.checkpoint("calibration"))]))
    assert (tmp_path / "out" / "perf.json").read_text(encoding="utf-8") == written


def test_a_program_of_another_config_is_not_estimated(tool: dict, config: Path, capsys) -> None:
    with config.open("a") as file:
        file.write("import torch\ndeploy_inputs = dict(img=torch.zeros(1, 3, 16, 8))\n")
    out = config.parent / "perf"
    arguments = tool["parser"]().parse_args(["--config", str(config), "--out-dir", str(out)])
    assert run_tool(lambda: tool["main"](arguments)) == 2
    assert "belongs to another config: its image size is '8×8' and not '16×8'.\n" in capsys.readouterr().err
    assert not (out / "perf.json").exists()


def test_an_unknown_level_ends_with_two(tool: dict, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        tool["parser"]().parse_args(["--config", "c.py", "--out-dir", ".", "--opt", "7"])
    assert "invalid choice: '7'" in capsys.readouterr().err
