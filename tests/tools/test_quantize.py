"""``quantize`` in a config: train.py, predict.py and infer.py without ``--stage``."""

import copy
import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from spots import spot_run

from hatlite import config as config_module
from hatlite.command import run_tool

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a tool on a run whose float stage is done, with `quantize` in its config; return exit code and what is said.

    Each time the config runs, the stage that it finds in the environment is kept in ``call.steps``.
    """
    run = spot_run(tmp_path, "float")

    def load(source: str, opts: Any) -> dict[str, Any]:
        call.steps.append(os.environ.get("HAT_TRAINING_STEP"))
        return copy.deepcopy(dict(run.config)) | call.flag

    def call(name: str, *words: str, **flag: Any) -> tuple[int, str, str]:
        call.flag, call.steps = flag, []
        module = runpy.run_path(str(TOOLS / name))
        args = module["parser"]().parse_args(["--config", "spots.py", *words])
        code = run_tool(lambda: module["main"](args))
        return code, *capsys.readouterr()

    monkeypatch.delenv("HAT_TRAINING_STEP", raising=False)
    monkeypatch.setattr(config_module, "load", load)
    return call


def test_one_flag_says_what_is_calibrated_and_what_is_looked_at(tool: Callable[..., Any], tmp_path: Path) -> None:
    code, _, said = tool("predict.py", quantize=True)
    assert code == 2 and "There is no checkpoint" in said and "python tools/train.py --stage qat --config" in said
    code, out, said = tool("train.py", quantize="calibration")
    assert code == 0 and "| calibration |" in out and "Stage 'calibration': config['quantize'] is 'calib" in said
    assert tool.steps == [None, "calibration"], "a config that asks the environment is told"
    code, out, said = tool("predict.py", quantize=True)
    assert (
        code == 0 and out.startswith("mAP ") and "Stage 'calibration': config['quantize'] is True, and of the" in said
    )
    code, out, said = tool("infer.py", "--use-dataset", "0", "--save-path", str(tmp_path / "out"), quantize="training")
    assert (code, out.splitlines()[0]) == (
        0,
        f"stage calibration: {tmp_path / 'run' / 'calibration-checkpoint-best'}.pth.tar",
    )
    code, out, said = tool("predict.py", quantize=None)
    assert code == 0 and "Stage 'float': config['quantize'] is None." in said
    assert tool.steps == [None, "float"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("predict.py", ()), ("infer.py", ("--use-dataset", "0", "--save-path")), ("confusion_matrix.py", ("--out",))],
)
def test_a_config_that_asks_the_environment_is_told(
    tool: Callable[..., Any], tmp_path: Path, name: str, words: tuple[str, ...]
) -> None:
    where = (*words, str(tmp_path / "out")) if words else ()
    assert tool(name, *where)[0] == 0 and tool.steps == [None, "float"]
    assert tool(name, *where, "--stage", "float")[0] == 0 and tool.steps == ["float"]


def test_stage_comes_before_the_flag(tool: Callable[..., Any]) -> None:
    code, _, said = tool("predict.py", "--stage", "float", quantize="training")
    assert code == 0 and "--stage float is followed; config['quantize'] is 'training', which asks for calib" in said
    assert tool.steps == ["float"]


def test_without_the_flag(tool: Callable[..., Any]) -> None:
    code, out, said = tool("train.py")
    assert (code, out) == (2, "") and said.startswith("StageError: --stage is missing, and spots.py sets no quantize")
    code, _, said = tool("predict.py")
    assert code == 0 and "Stage 'float': neither --stage nor config['quantize'] names one." in said


@pytest.mark.parametrize("name", ["train.py", "predict.py", "infer.py"])
def test_another_word_is_an_error(tool: Callable[..., Any], name: str, tmp_path: Path) -> None:
    words = ("--save-path", str(tmp_path / "out")) if name == "infer.py" else ()
    code, out, said = tool(name, *words, quantize="trainig")
    assert (code, out) == (2, "") and said.endswith("or 'calibration'.\n  Did you mean 'training'?\n")
