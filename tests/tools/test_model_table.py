"""The tool on a folder of one small config, worked out for real."""

import json
import runpy
from pathlib import Path

import pytest

from hatlite.command import run_tool

ROOT = Path(__file__).parents[2]

SMALL = '''"""Small.

| stage       | mAP | AP50 |
| ----------- | --- | ---- |
| float       | 0.5 | 0.8  |
| calibration | 0.4 | 0.7  |
"""

import torch

task_name = "small"
march = "tidl"
num_classes = 2
strides = [8, 16, 32]
model = dict(
    type="SSD",
    backbone=dict(type="MobileNetV2", width_mult=0.1),
    neck=dict(type="FPN", out_strides=strides, out_channels=8, num_outs=3, start_level=2),
    head=dict(
        type="SSDHead",
        num_classes=2,
        anchor_generator=dict(
            type="SSDAnchorGenerator",
            input_size=(64, 64),
            strides=strides,
            ratios=[[2], [2], [2]],
            basesize_ratio_range=(0.2, 0.9),
            first_ratio=0.1,
        ),
    ),
    box_coder=dict(type="DeltaXYWHCoder"),
)
deploy_inputs = dict(img=torch.zeros(1, 3, 64, 64))
'''

VGG = """
import torch

task_name = "vgg"
march = "tidl"
strides = [8, 16, 32]
anchors = dict(
    type="SSDAnchorGenerator",
    input_size=(64, 64),
    strides=strides,
    ratios=[[2], [2], [2]],
    basesize_ratio_range=(0.2, 0.9),
    first_ratio=0.1,
)
model = dict(
    type="SSD",
    backbone=dict(type="SSDVGG"),
    neck=dict(
        type="SSDNeck", in_strides=[8, 16], out_strides=strides, out_channels=[512, 1024, 256], l2_norm_scale=20.0
    ),
    head=dict(type="SSDHead", num_classes=2, anchor_generator=anchors),
    box_coder=dict(type="DeltaXYWHCoder"),
)
deploy_inputs = dict(img=torch.zeros(1, 3, 64, 64))
"""


def call(*words: object) -> int:
    tool = runpy.run_path(str(ROOT / "tools" / "model_table.py"))
    arguments = tool["parser"]().parse_args([str(word) for word in words])
    return run_tool(lambda: tool["main"](arguments))


def test_it_works_out_what_is_missing_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "configs").mkdir()
    file = tmp_path / "configs" / "small.py"
    file.write_text(SMALL)
    out = tmp_path / "docs" / "zoo.md"
    assert call("--configs", file.parent, "--out", out) == 0
    said = capsys.readouterr().out
    assert said == (
        f"{file} on bayes-sim is counted and estimated.\n{file} on tidl is counted and estimated.\n"
        f"{file} on gti5801 is counted and estimated.\nWritten: {out}, 2 rows.\n"
    )
    bayes, tidl = [line.split(" | ") for line in out.read_text(encoding="utf-8").splitlines()[-2:]]
    assert [cell.strip() for cell in bayes[1:7]] == [
        "MobileNetV2 0.1",
        "32",
        "64×64",
        "bayes-sim",
        "0.5000 / 0.8000",
        "",
    ]
    assert [cell.strip() for cell in tidl[4:7]] == ["tidl", "0.5000 / 0.8000", "0.4000 / 0.7000"]
    assert 0 < float(bayes[10]) < float(tidl[10])
    assert tidl[11].strip() == "[small](../configs/small.py) |"
    kept = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))[file.as_posix()]
    assert kept["tidl"]["macs"] == kept["bayes-sim"]["macs"] > 0
    assert call("--configs", file.parent, "--out", out) == 0
    assert capsys.readouterr().out == f"Written: {out}, 2 rows.\n"


@pytest.mark.slow
def test_a_network_that_no_march_runs_has_no_milliseconds(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    file = tmp_path / "configs" / "vgg.py"
    file.write_text(VGG)
    assert call("--configs", file.parent, "--out", tmp_path / "zoo.md") == 0
    rows = json.loads((tmp_path / "zoo.json").read_text(encoding="utf-8"))[file.as_posix()]
    assert rows["tidl"]["ms"] is None


def test_a_mistake_writes_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--configs", tmp_path, "--out", tmp_path / "docs" / "zoo.md") == 2
    assert "has no configs" in capsys.readouterr().err
    (tmp_path / "bad.py").write_text(SMALL.replace("| 0.8 ", "| 80 %"))
    assert call("--configs", tmp_path, "--out", tmp_path / "docs" / "zoo.md") == 2
    assert f"{tmp_path / 'bad.py'}:5: AP50 of stage 'float' is '80 %'; expected" in capsys.readouterr().err
    assert not (tmp_path / "docs").exists()
