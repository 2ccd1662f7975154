"""What the tool says and how it ends."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from hatlite import engine
from hatlite.analysis import AlignmentReport, LayerAlignment
from hatlite.command import run_tool

TOOL = Path(__file__).parents[2] / "tools" / "check_alignment.py"


@pytest.fixture
def tool() -> dict[str, Any]:
    return runpy.run_path(str(TOOL))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    config = tmp_path / "tiny.py"
    config.write_text(f"task_name = 'tiny'\nckpt_dir = {str(tmp_path)!r}\n", encoding="utf-8")
    return config


def report(differing: int) -> AlignmentReport:
    layer = LayerAlignment(
        kind="conv2d",
        name="head_cls",
        module="head.cls",
        line="fcos.py:31",
        dtype="int16",
        elements=64,
        differing=differing,
        max_lsb=min(differing, 2),
        mode_differing=0,
        saturated=2,
    )
    return AlignmentReport("tiny.hbir", 3, ("eval", "train"), (layer,))


@pytest.mark.parametrize(("differing", "code"), [(0, 0), (5, 1)])
def test_the_exit_code_is_the_verdict(
    tool: dict, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, differing, code
) -> None:
    asked = []
    monkeypatch.setattr(engine, "align_stage", lambda run, *rest: asked.append(rest) or report(differing))
    arguments = tool["parser"]().parse_args(["--config", str(config), "--num-images", "3", "--ckpt", "q.pth.tar"])
    assert run_tool(lambda: tool["main"](arguments)) == code
    assert asked == [(3, "q.pth.tar")]
    printed = capsys.readouterr().out
    assert f"3 images, 1 tensors, 64 integers compared, {differing} differ (eval and train mode)" in printed
    assert "conv2d 'head_cls' (head.cls fcos.py:31) saturates most: 3.125% of its integers stand at" in printed
    assert ("conv2d 'head_cls' (head.cls fcos.py:31): 5 of 64 integers differ, by up to 2 LSB" in printed) == bool(code)


def test_without_a_program_it_says_what_to_run(tool: dict, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tool(lambda: tool["main"](tool["parser"]().parse_args(["--config", str(config)]))) == 2
    said = capsys.readouterr().err
    assert "There is no program" in said
    assert f"Export it first: python tools/export_hbir.py --config {config}" in said


@pytest.mark.parametrize("number", ["0", "-3", "x"])
def test_the_number_of_images_is_checked(tool: dict, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        tool["parser"]().parse_args(["--config", "c.py", f"--num-images={number}"])
    assert f"is {number!r}; expected a whole number from 1 up" in capsys.readouterr().err
