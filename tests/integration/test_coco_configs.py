"""The configs of COCO train on drawn data, by overrides alone."""

from pathlib import Path

import pytest

from hatlite.data.packing import pack_coco
from hatlite.data.shapes_file import write_shapes
from hatlite.engine import Run, run_stage

FCOS = Path(__file__).parents[2] / "configs" / "detection" / "fcos"
SMALL = (
    "num_classes=5",
    "image_size=(128,128)",
    "batch_size_per_gpu=2",
    "num_epochs=1",
    "num_workers=0",
    "model.neck.out_channels=16",
    "model.neck.stack=1",
    "model.head.stacked_convs=1",
    "model.head.feat_channels=16",
)
NARROW = ("model.backbone.width_coefficient=0.25", "model.backbone.depth_coefficient=0.1")


@pytest.mark.parametrize(
    ("name", "backbone"),
    [
        ("efficientnetb0", NARROW),
        ("efficientnetb3", (*NARROW, "stop_epoch=1")),  # its sibling's Mosaic and MixUp
        ("resnet50", ("model.backbone.depth=18",)),
    ],
)
def test_a_float_epoch(name: str, backbone: tuple[str, ...], tmp_path: Path) -> None:
    for split, count in (("train", 4), ("val", 2)):
        write_shapes(tmp_path, split, num_images=count, seed=count, size=(128, 128))
        pack_coco(tmp_path, tmp_path, split)
    opts = [*SMALL, *backbone, f"data_path={tmp_path}", f"ckpt_dir={tmp_path / 'run'}"]
    row = run_stage(Run.load(FCOS / f"fcos_{name}_mscoco.py", opts, stage="float"), "float")
    assert row["epoch"] == 1
    assert row["images"] == 2
    assert (tmp_path / "run" / "float-checkpoint-last.pth.tar").is_file()
