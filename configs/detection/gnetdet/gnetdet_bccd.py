"""GNetDet for the GTI 5801 on BCCD: blood cells in 364 photos of 640×480, at 224×224, from random weights.

export HATLITE_BCCD=/path/to/bccd
"""

import os

import gnetdet_448_voc as base
import torch

from configs.detection.fcos import fcos_efficientnetb0_bccd as fcos

task_name = "gnetdet_bccd"
ckpt_dir = f"./tmp_models/{task_name}"
data_path = os.environ.get("HATLITE_BCCD", "./tmp_data/bccd")
train_split = "trainval"
val_split = "test"

num_classes = 3
image_size = 224
batch_norm = True
batch_size = 8
num_workers = 2
num_epochs = 28
lr = 2e-3
weight_decay = 0.02
loss_weights = [5.0, 0.5]
stage_checkpoint = "last"
seed = 0
march = "gti5801"
qat_epochs = 5
qat_activations_epochs = 5
qat_31_epochs = 6
qat_lr = 4e-4
qat_activations_lr = 2e-4
qat_31_lr = 2e-4
stages = [  # steps 1, 2, 2 with --cal, 3 and 4 of the toolkit
    dict(name="float", kind="float"),
    dict(name="qat", kind="qat_weights", starts_from=("float",)),
    dict(name="calibration", kind="calibration_weights", starts_from=("qat",)),
    dict(name="qat_activations", kind="qat_activations", starts_from=("calibration",)),
    dict(name="qat_31", kind="qat", starts_from=("qat_activations",), gate=0.90),
    dict(name="int_infer", kind="int_infer", starts_from=("qat_31",)),
]

model = dict(
    base.model,
    backbone=dict(type="GNet", input_size=image_size, batch_norm=batch_norm),
    head=dict(type="GNetHead", num_classes=num_classes, start_inside=True),
    loss=dict(base.model["loss"], loss_weights=loss_weights, detach_iou=True),
)


def photos(split):
    """Return one split of the photos."""
    return dict(type="VOCFromImage", data_path=data_path, split=split)


augmentations = [
    dict(type="Resize", img_scale=(image_size, image_size), ratio_range=(0.75, 1.4), keep_ratio=False),
    dict(type="RandomCrop", size=(image_size, image_size)),
    dict(type="Pad", size=(image_size, image_size)),
    dict(type="RandomFlip", px=0.5, py=0.5),
    dict(type="AugmentHSV", hgain=0.015, sgain=0.4, vgain=0.3),
]
options = dict(size=image_size, batch_size=batch_size)
data_loader = base.loader(photos(train_split), augmentations, **options, shuffle=True, drop_last=True)
data_loader["num_workers"] = num_workers
val_data_loader = base.loader(photos(val_split), [], **options)
val_data_loader["num_workers"] = num_workers


def trainer(num_epochs, lr, *, warmup_epochs=0, ema_ramp=50.0):
    """Return the trainer of one stage; convolutions that claim no integers run in half precision."""
    one = fcos.trainer(
        model, data_loader, val_data_loader, lr=lr, num_epochs=num_epochs, warmup_epochs=warmup_epochs, ema_ramp=ema_ramp
    )
    one["batch_processor"].update(enable_amp=True, amp_dtype="bfloat16")
    return one


float_trainer = trainer(num_epochs, lr, warmup_epochs=1, ema_ramp=100.0)
qat_trainer = trainer(qat_epochs, qat_lr)
calibration_trainer = fcos.calibrator(model, val_data_loader, num_steps=20)
qat_activations_trainer = trainer(qat_activations_epochs, qat_activations_lr)
qat_31_trainer = trainer(qat_31_epochs, qat_31_lr)
qconfig = dict(
    type="QConfig",
    weight=dict(step="mse"),
    activation=dict(observer=dict(name="percentile", percentile=99.9)),
    rules={f"*conv{index}": dict(weight_dtype="int8") for index in (13, 14, 15)},
)
deploy_inputs = dict(img=torch.zeros(1, 3, image_size, image_size))
