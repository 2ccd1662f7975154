"""What the tool prints and writes."""

import json
import runpy
from pathlib import Path

import pytest

from hatlite.command import run_tool

ROOT = Path(__file__).parents[2]
B0 = ROOT / "configs" / "detection" / "fcos" / "fcos_efficientnetb0_mscoco.py"


def call(*words: object) -> int:
    tool = runpy.run_path(str(ROOT / "tools" / "calops.py"))
    arguments = tool["parser"]().parse_args([str(word) for word in words])
    return run_tool(lambda: tool["main"](arguments))


@pytest.mark.parametrize(("side", "macs"), [(512, "2.51"), (1024, "10.03")])
def test_the_tutorials_network_costs_what_is_expected(side: int, macs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--config", B0, "--input-shape", f"1,3,{side},{side}") == 0
    said = capsys.readouterr().out
    assert f"input 1×3×{side}×{side}" in said
    assert f"\nGMACs: {macs}, convolutions and linear layers only\n" in said
    assert ", mmcv's rule: convolution " in said
    # 3.25 M with biases in the 1×1 convolutions of neck and head, which the batch norms behind them would cancel
    assert "\nParameters: 3.24 M (3,244,693)\n" in said
    assert "\n  backbone           EfficientNet   2,958,848 " in said


def test_the_size_is_the_configs_and_json_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(B0, "--depth", 0, "--json", tmp_path / "counts.json", "--opts", "image_size=(128,128)") == 0
    said = capsys.readouterr().out
    assert "input 1×3×128×128" in said and "backbone" not in said
    assert f"Written: {tmp_path / 'counts.json'}" in said
    written = json.loads((tmp_path / "counts.json").read_text(encoding="utf-8"))
    assert written["input_shape"] == [1, 3, 128, 128]
    assert written["macs"]["convolutions"] == sum(
        written["operations"].get(kind, 0) for kind in ("convolution", "linear")
    )
    assert {"", "backbone", "neck", "head"} <= {row["path"] for row in written["modules"]}


def test_a_mistake_ends_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(B0, "--input-shape", "512x512") == 2
    assert "expected four whole numbers N,C,H,W above 0" in capsys.readouterr().err
    assert call(B0, "--input-shape", "1,3,100,100") == 2
    assert (
        "The input of calops: FCOS: img is 100×100 (height×width), but both sides must be multiples of 128"
        in capsys.readouterr().err
    )
