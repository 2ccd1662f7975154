"""The tool on a program that lies in the run's folder."""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hatlite.errors import MarchError
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


def test_an_unknown_level_ends_with_two(tool: dict, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        tool["parser"]().parse_args(["--config", "c.py", "--out-dir", ".", "--opt", "7"])
    assert "invalid choice: '7'" in capsys.readouterr().err
