"""The dicts that the tutorial prints, character for character (tests/seeds), in a config that adds what they name."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hatlite import config
from hatlite.data.image import encode_jpeg
from hatlite.data.packing import pack_coco
from hatlite.engine import STAGE_KINDS, Run
from hatlite.engine.parts import build_loop, build_model
from hatlite.engine.validate import validate
from hatlite.quantization import FakeQuantGraph, prepare_qat

SEEDS = Path(__file__).parents[1] / "seeds"

BEFORE = """
import os
import torch

VERSION = "ConfigVersion.v2"
training_step = os.environ.get("HAT_TRAINING_STEP", "float")
task_name = "fcos_efficientnetb0_mscoco"
num_classes = 80
batch_size_per_gpu = 2
device_ids = [0]
ckpt_dir = "./tmp_models/%s" % task_name
cudnn_benchmark = True
seed = None
log_rank_zero_only = True
convert_mode = "fx"
bn_kwargs = {}
deploy_inputs = dict(img=torch.zeros((1, 3, 128, 128)))
"""

BETWEEN = """
val_data_loader = dict(
    type=torch.utils.data.DataLoader,
    dataset=dict(
        type="Coco",
        data_path="./tmp_data/coco/val_lmdb/",
        transforms=[
            dict(type="Resize", img_scale=(512, 512), keep_ratio=True),
            dict(type="Pad", size=(512, 512)),
            dict(type="ToTensor", to_yuv=True),
            dict(type="Normalize", mean=128.0, std=128.0),
        ],
    ),
    batch_size=batch_size_per_gpu,
    shuffle=False,
    num_workers=0,
    collate_fn=dict(type="Collate2D"),
)
batch_processor = dict(type="MultiBatchProcessor")
stat_callback = dict(type="StatsMonitor", log_freq=1000)
loss_show_update = dict(type="MetricUpdater")
ckpt_callback = dict(type="Checkpoint", save_dir=ckpt_dir, name_prefix=training_step + "-", monitor_metric_key="mAP")
val_callback = dict(type="Validation", data_loader=val_data_loader)
"""


def fragment(name: str) -> str:
    return (SEEDS / f"tutorial_{name}.txt").read_text(encoding="utf-8")


def write_coco(root: Path, split: str) -> None:
    """Write three pictures with 80 categories in COCO's layout, and pack them."""
    rng = np.random.default_rng(0)
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / f"{split}2017").mkdir()
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 48, "width": 64} for i in range(3)]
    for image in images:
        pixels = rng.integers(0, 256, (48, 64, 3), np.uint8)
        (root / f"{split}2017" / image["file_name"]).write_bytes(encode_jpeg(pixels))
    box = {"category_id": 1, "bbox": [4, 4, 40, 30], "area": 1200.0, "iscrowd": 0}
    content = {
        "images": images,
        "annotations": [{**box, "id": i, "image_id": i} for i in range(3)],
        "categories": [{"id": i, "name": f"class{i}"} for i in range(1, 81)],
    }
    (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(content))
    pack_coco(root, root, split)


@pytest.fixture
def tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config of the four fragments, in a folder with a tiny data set where they expect it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HAT_TRAINING_STEP", raising=False)
    for split in ("train", "val"):
        write_coco(tmp_path / "tmp_data" / "coco", split)
    wrapped = "data_loader = dict(type=torch.utils.data.DataLoader, " + fragment("data_loader")
    parts = (BEFORE, fragment("model"), wrapped, BETWEEN, fragment("float_trainer"), fragment("qat_trainer"))
    (tmp_path / "config.py").write_text("\n".join(parts))
    return tmp_path / "config.py"


@pytest.mark.parametrize("stage", ["float", "qat"])
def test_the_fragments_build_as_they_are_printed(tutorial: Path, stage: str, caplog: pytest.LogCaptureFixture) -> None:
    run = Run.load(str(tutorial), stage=stage)
    validate(run, STAGE_KINDS)
    loop: Any = build_loop(run, run.stage(stage))
    assert run.config["training_step"] == stage
    assert (loop.num_epochs, loop.device) == ((300 if stage == "float" else 10), torch.device("cpu"))
    assert loop.optimizer_config["lr"] == (0.14 if stage == "float" else 0.001)
    assert len(loop.data_loader.sampler) == len(loop.data_loader.dataset) == 3
    shapes = [batch["img"].shape for batch in loop.data_loader]
    assert shapes == [torch.Size([2, 3, 512, 512]), torch.Size([1, 3, 512, 512])]
    assert not torch.distributed.is_initialized()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    model = loop.model.network
    assert (model.head.num_classes, model.neck.out_strides, loop.model.post_process.max_per_img) == (
        80,
        (8, 16, 32, 64, 128),
        100,
    )


def test_the_printed_lines_make_the_printed_model_quantised(tutorial: Path) -> None:
    model = build_model(Run(config.load(tutorial)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.fuse_model()
    model.set_qconfig()
    assert prepare_qat(model, inplace=True) is model
    assert isinstance(model.network, FakeQuantGraph)
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert {name.partition(".sites.")[0] for name in after.keys() - before.keys()} == {"network"}
    batch = {
        "img": torch.zeros(1, 3, 128, 128),
        "gt_bboxes": [torch.tensor([[8.0, 8, 90, 90]])],
        "gt_classes": [torch.tensor([3])],
        "matrix": [torch.eye(3, dtype=torch.float64)],
        "orig_size": [(128, 128)],
    }
    assert set(model.train()(batch)) == {"cls", "centerness", "reg"}
    with torch.no_grad():
        assert len(model.eval()(batch)) == 1
