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
image_format = "BGR"
batch_norm = True
batch_size = 8
num_workers = 2
num_epochs = 28
lr = 2e-3
weight_decay = 0.02
loss_weights = [5.0, 0.1]  # of boxes, and of confidence where there is no object
conf_thresh = 0.3  # of what is drawn
prob_thresh = 0.25
nms_thresh = 0.4
stage_checkpoint = "last"
seed = 0
march = "gti5801"
qat_epochs = 5
qat_activations_epochs = 4
qat_31_epochs = 6
qat_lr = 6e-4
qat_activations_lr = 4e-4
qat_31_lr = 4e-4
kernel_step = "mse"
stages = base.stages

model = dict(
    base.model,
    backbone=dict(type="GNet", input_size=image_size, batch_norm=batch_norm),
    head=dict(base.model["head"], num_classes=num_classes, start_inside=True),
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
options = dict(size=image_size, image_format=image_format, batch_size=batch_size)
data_loader = base.loader(photos(train_split), augmentations, **options, shuffle=True, drop_last=True)
data_loader["num_workers"] = num_workers
val_data_loader = base.loader(photos(val_split), [], **options)
val_data_loader["num_workers"] = num_workers


def trainer(model, data_loader, val_data_loader, *, num_epochs, lr, warmup_epochs=0, ema_ramp=50.0):
    """Return the trainer of one step; what need not be exact runs in half precision."""
    data = dict(data_loader=data_loader, val_data_loader=val_data_loader)
    one = fcos.trainer(model, **data, lr=lr, num_epochs=num_epochs, warmup_epochs=warmup_epochs, ema_ramp=ema_ramp)
    one["batch_processor"].update(enable_amp=True, amp_dtype="bfloat16")
    return one


def calibrator(model, data_loader, val_data_loader):
    """Return the calibration over images of training as validation sees them."""
    return fcos.calibrator(model, val_data_loader, num_steps=20)


parts = (model, data_loader, val_data_loader)
float_trainer = trainer(*parts, num_epochs=num_epochs, lr=lr, warmup_epochs=1, ema_ramp=100.0)
qat_trainer = trainer(*parts, num_epochs=qat_epochs, lr=qat_lr)
calibration_trainer = calibrator(*parts)
qat_activations_trainer = trainer(*parts, num_epochs=qat_activations_epochs, lr=qat_activations_lr)
qat_31_trainer = trainer(*parts, num_epochs=qat_31_epochs, lr=qat_31_lr)
qconfig = base.quantisation(image_size, kernel_step, percentile=99.9)
deploy_inputs = dict(img=torch.zeros(1, 3, image_size, image_size))
