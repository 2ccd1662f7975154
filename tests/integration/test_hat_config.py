"""What users of HAT bring along: the tutorial's loader as it is printed, and a config with every dict spelled out."""

import json
import logging
from pathlib import Path

import pytest
import torch

from hatlite import config
from hatlite.data.packing import pack_coco
from hatlite.data.shapes_file import write_shapes
from hatlite.engine import STAGE_KINDS, Run, predict_stage, run_stage
from hatlite.engine.validate import validate
from hatlite.registry import OBJECT_REGISTRY

CONFIG = Path(__file__).with_name("hat_b0_config.py")

PRINTED = """
dataset=dict( type="Coco", data_path="./tmp_data/coco/train_lmdb/", transforms=[ dict( type="Resize", \
img_scale=(512, 512), ratio_range=(0.5, 2.0), keep_ratio=True, ), dict( type="RandomCrop", size=(512, 512) ), \
dict( type="Pad", divisor=512, ), dict( type="RandomFlip", px=0.5, py=0, ), dict( type = "AugmentHSV", hgain=0.015, \
sgain=0.7, vgain=0.4 ), dict( type="ToTensor", to_yuv=True, ), dict( type="Normalize", mean=128.0, std=128.0, ), ], ), \
sampler=dict(type=torch.utils.data.DistributedSampler), batch_size=batch_size_per_gpu, shuffle=False, num_workers=4, \
pin_memory=True, collate_fn=dict(type="Collate2D"), )
""".strip()


@pytest.fixture
def drawn(tmp_path, monkeypatch) -> Path:
    """Four images to train on and two to validate on, packed below ``mscoco``; the test runs beside them."""
    folder = tmp_path / "tmp_data" / "mscoco"
    for split, count in (("train", 4), ("val", 2)):
        write_shapes(folder, split, num_images=count, seed=count, size=(128, 128))
        pack_coco(folder, folder, split)
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_tutorials_loader_yields_batches_in_one_process(drawn):
    drawn.rename(drawn.with_name("coco"))
    names = {"torch": torch, "batch_size_per_gpu": 2}
    cfg = eval(f"dict(type=torch.utils.data.DataLoader, {PRINTED}", names)
    loader = OBJECT_REGISTRY.build(cfg)
    batches = list(loader)
    assert [batch["img"].shape for batch in batches] == [(2, 3, 512, 512)] * 2
    assert sorted(i for batch in batches for i in batch["img_id"]) == [1, 2, 3, 4]
    assert loader.batch_sampler.sampler.num_replicas == 1
    assert not torch.distributed.is_initialized()


@pytest.fixture
def small(drawn) -> list[str]:
    fewer = ["model.backbone.depth_coefficient=0.1", "model.neck.stack=1", "model.head.stacked_convs=1"]
    fewer += ["deploy_model.head.stacked_convs=1"]
    sizes = ["num_classes=5", "batch_size_per_gpu=2", "image_size=(128,128)", "calibration_step=1"]
    length = ["float_trainer.num_epochs=1", "float_trainer.optimizer.lr=0.001"]
    return [*fewer, *sizes, *length, "ckpt_dir=run"]


def test_a_config_as_users_of_hat_write_it_trains_and_predicts(small, drawn, caplog):
    run = Run(config.load(CONFIG, small))
    validate(run, STAGE_KINDS)
    with caplog.at_level(logging.INFO, logger="hatlite"):
        row = run_stage(run, "float")
    left = sorted(path.name for path in Path("run").iterdir() if path.name.startswith("float-"))
    files = [f"float-checkpoint-{which}.pth.tar" for which in ("best", "last")]
    beside = ["float-config.json", "float-network.pt2", "float-scalars.jsonl"]
    assert left == sorted([*files, *(f"{file}.sha256" for file in files), *beside])
    assert (row["epoch"], row["images"]) == (1, 2)
    said = {word for record in caplog.records for word in record.getMessage().split()}
    assert {"loss_cls", "loss_centerness", "loss_reg", "Validation", "mAP"} <= said
    predicted = predict_stage(Run(config.load(CONFIG, small)), "float")
    assert {name: predicted[name] for name in ("mAP", "AP50", "val_loss")} == pytest.approx(
        {name: row[name] for name in ("mAP", "AP50", "val_loss")}
    )
    assert json.loads(Path("run/stages.json").read_text())["stages"].keys() == {"float"}


def test_its_pipelines_lead_from_float_to_integers(small, drawn):
    """Each stage names the file that it starts from, and int_infer is evaluated as the saved program."""
    for name in ("float", "calibration", "qat", "int_infer"):
        row = run_stage(Run.load(str(CONFIG), [*small, "qat_trainer.num_epochs=1"], stage=name), name)
    assert row["gate"] == "equal to qat"
    assert row["passed"] is True
    assert Path("run/fcos_efficientnetb0_mscoco.hbir").is_file()
    config_of = json.loads(Path("run/qat-config.json").read_text())
    assert config_of["training_step"] == "qat"
