"""FCOS, EfficientNet-b0 and BiFPN on BCCD: blood cells in 364 photos of 640×480, Pascal VOC format.

export HATLITE_BCCD=/path/to/bccd
python tools/train.py --stage float --config configs/detection/fcos/fcos_efficientnetb0_bccd.py
python tools/train.py --stage calibration --config configs/detection/fcos/fcos_efficientnetb0_bccd.py
python tools/train.py --stage qat --config configs/detection/fcos/fcos_efficientnetb0_bccd.py
python tools/train.py --stage int_infer --config configs/detection/fcos/fcos_efficientnetb0_bccd.py

Measured with these commands on 2026-11-21 on 2 cores of an AMD EPYC (AVX512-VNNI) that other work shared, with torch
2.15 and OMP_NUM_THREADS=2 OMP_WAIT_POLICY=PASSIVE; float at commit bc99b45, the other stages at 51d3ca1. Trained on
`trainval` (292 photos) for a fixed length from random weights; the last (moving average) checkpoint of each stage was
evaluated on `test` (72 photos).

| stage       | mAP    | AP50   | AP75   | seconds | AP50 against float |
| ----------- | ------ | ------ | ------ | ------- | ------------------ |
| float       | 0.5479 | 0.8641 | 0.6106 | 1940    |                    |
| calibration | 0.5510 | 0.8625 | 0.6083 | 18      | −0.16 points       |
| qat         | 0.5448 | 0.8664 | 0.5933 | 893     | +0.23 points       |
| int_infer   | 0.5448 | 0.8664 | 0.5933 | 35      | equal to qat       |

`test` was looked at more often than once a stage, because the arithmetic changed. From this float, with the
observers' older sample of values (commit 98c636e): calibration 0.5548 mAP and 0.8659 AP50, qat 0.5462 and 0.8741.
Calibration alone, again at commit 64dcdf8: 0.5489 and 0.8614, −0.27 points. Before channels were equalised in
calibration, with num_epochs=36 qat_epochs=6 qat_lr=2e-4: float 0.5671 mAP and 0.8834 AP50, calibration 0.5620 and
0.8756, qat 0.5615 and 0.8780; and two runs before that from the same float with −0.54 and +0.02, and −0.65 and −0.55
points of AP50. None of these chose between options; that they missed their target is why calibration was worked on
and qat given more epochs.

Chosen on `train` → `val` (--opts train_split=train val_split=val): lr=1e-3 num_epochs=40 had AP50 0.458 after 10
epochs, before residuals started as the identity; lr=6e-3 num_epochs=12 had 0.624 after 8 and 0.667 after 12. From the
last of these qat came to 0.666 with qat_epochs=2 qat_lr=5e-5, to 0.690 with 6 and 2e-4, and to 0.703 with 6 and 6e-4,
which is why qat has that rate now, and nine epochs; float has six fewer than before. Equalisation was chosen without
labels, by the noise of the outputs on training photos.
"""

import copy
import os

import fcos_efficientnetb0_mscoco as mscoco
import torch

task_name = "fcos_efficientnetb0_bccd"
ckpt_dir = f"./tmp_models/{task_name}"
data_path = os.environ.get("HATLITE_BCCD", "./tmp_data/bccd")
train_split = "trainval"
val_split = "test"

num_classes = 3
image_size = (256, 384)  # (height, width); five levels need multiples of 128
batch_size = 8
num_workers = 2
num_epochs = 30
qat_epochs = 9
lr = 6e-3
qat_lr = 6e-4
weight_decay = 0.02
val_interval = 1000  # fixed length: the test split is looked at once, when training has ended
stage_checkpoint = "last"
seed = 0
march = "bayes-sim"

model = copy.deepcopy(mscoco.model)
model["head"].update(
    num_classes=num_classes,
    stride2channels=dict.fromkeys(model["head"]["in_strides"], 64),  # given, weights are drawn in the recorded order
)


def loader(dataset, transforms, **options):
    """Return a loader of `dataset` whose images end as centred YUV in −1…1."""
    to_network = [dict(type="ToTensor", to_yuv=True), dict(type="Normalize", mean=128.0, std=128.0)]
    return dict(
        type=torch.utils.data.DataLoader,
        dataset=dict(dataset, transforms=[*transforms, *to_network]),
        num_workers=num_workers,
        collate_fn=dict(type="Collate2D"),
        **options,
    )


def augmentations(image_size):
    """Return what a photo goes through in training, up to `image_size`."""
    return [
        dict(type="Resize", img_scale=image_size, ratio_range=(0.7, 1.4), keep_ratio=True),
        dict(type="RandomCrop", size=image_size),
        dict(type="Pad", size=image_size),
        dict(type="RandomFlip", px=0.5, py=0.5),
        dict(type="AugmentHSV", hgain=0.015, sgain=0.4, vgain=0.3),
    ]


data_loader = loader(
    dict(type="VOCFromImage", data_path=data_path, split=train_split),
    augmentations(image_size),
    batch_size=batch_size,
    shuffle=True,
    drop_last=True,
)
val_data_loader = loader(
    dict(type="VOCFromImage", data_path=data_path, split=val_split),
    [dict(type="Resize", img_scale=image_size, keep_ratio=True), dict(type="Pad", size=image_size)],
    batch_size=batch_size,
)


def trainer(model, data_loader, val_data_loader, *, lr, num_epochs, warmup_epochs=0, ema_ramp=300.0, val_interval=1000):
    """Return a trainer with everything around it."""
    return dict(
        type="distributed_data_parallel_trainer",
        model=model,
        data_loader=data_loader,
        optimizer=dict(
            type=torch.optim.AdamW, params={"weight": dict(weight_decay=weight_decay)}, lr=lr, weight_decay=0.0
        ),
        batch_processor=dict(type="MultiBatchProcessor", need_grad_update=True, clip_grad_norm=10.0),
        num_epochs=num_epochs,
        callbacks=[
            dict(type="StatsMonitor", log_freq=10),
            dict(type="ExponentialMovingAverage", decay=0.998, ramp=ema_ramp),
            dict(type="CosLrUpdater", warmup_len=warmup_epochs, warmup_by="epoch", stop_lr=lr / 100),
            *after_epoch(val_data_loader, val_interval),
        ],
        train_metrics=dict(type="LossShow"),
        val_metrics=dict(type="COCODetectionMetric"),
    )


def after_epoch(val_data_loader, val_interval=1000):
    """Return what follows the last step of an epoch, in this order."""
    return [
        dict(type="Validation", data_loader=val_data_loader, val_interval=val_interval),
        dict(type="Checkpoint", monitor_metric_key="mAP"),
        dict(type="TensorBoard"),
    ]


def calibrator(model, val_data_loader, num_steps):
    """Return the calibration over `num_steps` batches of training images as validation sees them."""
    return dict(
        type="Calibrator",
        model=model,
        num_steps=num_steps,
        callbacks=after_epoch(val_data_loader),
        val_metrics=dict(type="COCODetectionMetric"),
    )


qconfig = dict(type="QConfig", activation=dict(dtype="int8", observer="mse"))
float_trainer = trainer(
    model, data_loader, val_data_loader, lr=lr, num_epochs=num_epochs, warmup_epochs=2, val_interval=val_interval
)
calibration_trainer = calibrator(model, val_data_loader, num_steps=20)
qat_trainer = trainer(
    model, data_loader, val_data_loader, lr=qat_lr, num_epochs=qat_epochs, ema_ramp=50.0, val_interval=val_interval
)
deploy_inputs = mscoco.example(image_size)
