"""The shipped FCOS, made small, through all stages as a user starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hatlite.data.packing import pack_coco
from hatlite.data.shapes_file import write_shapes

ROOT = Path(__file__).parents[2]
CONFIG = "configs/detection/fcos/fcos_efficientnetb0_shapes.py"
SMALL = [
    "num_epochs=1",
    "qat_epochs=1",
    "batch_size=4",
    "num_workers=0",
    "model.backbone.width_coefficient=0.25",
    "model.backbone.depth_coefficient=0.1",
    "model.neck.out_channels=16",
    "model.neck.stack=1",
    "model.head.stacked_convs=1",
    "model.head.feat_channels=16",
    f"model.head.stride2channels={ {8: 16, 16: 16, 32: 16, 64: 16, 128: 16} }",
    "calibration_trainer.num_steps=1",
]


@pytest.fixture
def small(tmp_path: Path) -> list[str]:
    """Draw and pack four images to train on and two to validate on; return the options that name them."""
    for split, count in (("train", 4), ("val", 2)):
        write_shapes(tmp_path, split, num_images=count, seed=count, size=(128, 128))
        pack_coco(tmp_path, tmp_path, split)
    return [*SMALL, f"data_path={tmp_path}", f"ckpt_dir={tmp_path / 'run'}"]


def tool(name: str, stage: str, options: list[str]) -> str:
    """Run a tool as a user would and return what it printed."""
    command = [sys.executable, f"tools/{name}", "--stage", stage, "--config", CONFIG, "--opts", *options]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_train_and_predict_report_the_same_integers(small: list[str], tmp_path: Path) -> None:
    for stage in ("float", "calibration", "qat", "int_infer"):
        printed = tool("train.py", stage, small)
        assert f"| {stage} " in printed
    rows = json.loads((tmp_path / "run" / "stages.json").read_text())["stages"]
    assert list(rows) == ["float", "calibration", "qat", "int_infer"]
    assert rows["int_infer"]["passed"] is True  # equal to qat, digit for digit
    predicted = dict(line.rsplit(maxsplit=1) for line in tool("predict.py", "int_infer", small).splitlines())
    shared = set(predicted) & set(rows["int_infer"]) - {"images_per_second"}
    assert {"mAP", "AP50", "AP75", "val_loss"} <= shared
    for name in shared:
        assert predicted[name] == f"{rows['int_infer'][name]:.6g}"
