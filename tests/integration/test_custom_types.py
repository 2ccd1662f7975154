"""A transform, a callback and a backbone of the user's own, from outside the package, through all stages."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hatlite import config
from hatlite.data.packing import pack_coco
from hatlite.data.shapes_file import write_shapes
from hatlite.engine import Run, run_stage
from hatlite.registry import OBJECT_REGISTRY

TYPES = '''
from torch import nn

from hatlite.engine import Callback
from hatlite.registry import OBJECT_REGISTRY

seen, lines = [], []


@OBJECT_REGISTRY.register
class OwnDarken:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, sample, rng):
        seen.append(sample["img_name"])
        return {**sample, "img": (sample["img"] * self.factor).astype("uint8")}


@OBJECT_REGISTRY.register
class OwnDiary(Callback):
    def on_epoch_end(self, loop) -> None:
        lines.append(f"{loop.run.stage} {loop.step}")


@OBJECT_REGISTRY.register
class OwnBackbone(nn.Module):
    """Five convolutions of stride 2."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.stride2channels = {2**level: channels for level in range(1, 6)}
        stages = [nn.Conv2d(3 if level == 0 else channels, channels, 3, 2, 1) for level in range(5)]
        self.stages = nn.ModuleList(nn.Sequential(stage, nn.ReLU()) for stage in stages)

    def forward(self, img):
        features = []
        for stage in self.stages:
            img = stage(img)
            features.append(img)
        return features
'''

CONFIG = """
import copy

import fcos_efficientnetb0_shapes as shapes

custom_imports = ["own_types"]
task_name, march, num_classes = "own", shapes.march, shapes.num_classes
ckpt_dir, stage_checkpoint = {folder!r}, "last"
model, data_loader, val_data_loader, qconfig, float_trainer, calibration_trainer, qat_trainer = copy.deepcopy(
    (shapes.model, shapes.data_loader, shapes.val_data_loader, shapes.qconfig)
    + (shapes.float_trainer, shapes.calibration_trainer, shapes.qat_trainer)
)
model["backbone"] = dict(type="OwnBackbone", channels=8)
model["neck"].update(out_channels=8, stack=1)
model["head"].update(feat_channels=8, stacked_convs=1, stride2channels=None)
data_loader["dataset"]["transforms"].insert(0, dict(type="OwnDarken", factor=0.5))
float_trainer["callbacks"].append(dict(type="OwnDiary"))
"""


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[Path]:
    """Write data, types and config to a folder of their own; forget the types afterwards."""
    for split in ("train", "val"):
        write_shapes(tmp_path, split, num_images=4, seed=1, size=(128, 128))
        pack_coco(tmp_path, tmp_path, split)
    (tmp_path / "own_types.py").write_text(TYPES)
    (tmp_path / "own.py").write_text(CONFIG.format(folder=str(tmp_path / "run")))
    for source in (Path(__file__).parents[2] / "configs" / "detection" / "fcos").glob("*.py"):
        (tmp_path / source.name).write_text(source.read_text())
    before = dict(OBJECT_REGISTRY._entries)
    yield tmp_path / "own.py"
    OBJECT_REGISTRY._entries.clear()
    OBJECT_REGISTRY._entries.update(before)
    sys.modules.pop("own_types", None)


def test_own_types_go_from_float_to_integers(configured: Path) -> None:
    options = ["num_epochs=1", "qat_epochs=1", "batch_size=2", "num_workers=0", f"data_path={configured.parent}"]
    run = Run(config.load(configured, options))
    rows = {stage: run_stage(run, stage) for stage in ("float", "calibration", "qat", "int_infer")}
    own = sys.modules["own_types"]
    names = [f"{number:012d}.jpg" for number in range(1, 5)]
    assert own.seen[0] == names[0]  # the first image is looked at before any work
    assert sorted(own.seen[1:5]) == names
    assert own.lines == ["float 2"]
    assert rows["int_infer"]["passed"] is True
