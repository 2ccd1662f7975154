"""GNetDet on drawn shapes, an eighth to a quarter as wide, through all steps down to the chip model in minutes.

make demo-gnetdet  # draws the data, trains, converts and draws what is found

Measured with it on 2026-11-21 at commit 8da62e3 on 2 cores of an AMD EPYC (AVX512-BF16, VNNI) that a little other work
shared, torch 2.15, 7.4 minutes in all; 1500 drawn pictures, evaluated on 150.

| stage           | mAP    | AP50   | AP75   | seconds |
| --------------- | ------ | ------ | ------ | ------- |
| float           | 0.4253 | 0.6941 | 0.4650 | 270     |
| qat             | 0.4232 | 0.6857 | 0.4609 | 33      |
| calibration     | 0.4194 | 0.6797 | 0.4622 | 7       |
| qat_activations | 0.4321 | 0.6990 | 0.4557 | 24      |
| qat_31          | 0.4503 | 0.7257 | 0.4773 | 55      |
| int_infer       | 0.4503 | 0.7257 | 0.4773 | 3       |
"""

import gnetdet_448_voc as base
import gnetdet_bccd as bccd
import torch

task_name = "gnetdet_shapes"
ckpt_dir = "./tmp_data/gnetdet/run"
data_path = "./tmp_data/gnetdet"
ds_name = "shapes"
march = bccd.march
stages = bccd.stages

classes = ["circle", "cross", "square", "star", "triangle"]
num_classes = len(classes)
image_size = 224
image_format = "BGR"
batch_size = 8
num_workers = 2
num_epochs = 8
conf_thresh = 0.3  # of what is drawn
prob_thresh = 0.25
nms_thresh = 0.4
qat_epochs = 1
qat_activations_epochs = 1
qat_31_epochs = 2
lr = 4e-3
qat_lr = 1e-3
qat_activations_lr = 5e-4
qat_31_lr = 5e-4
seed = 0
widths = [[8, 8], [16, 16], [32] * 3, [64] * 3, [64] * 5]

model = dict(
    bccd.model,
    backbone=dict(bccd.model["backbone"], widths=widths),
    head=dict(bccd.model["head"], num_classes=num_classes),
)


def shapes(part):
    """Return the data set of ``train`` or ``valid``, from the metadata that tools/voc_to_meta.py writes."""
    return dict(
        type="GNetMeta",
        meta_file=f"{data_path}/meta/{ds_name}_{part}.txt",
        img_path=f"{data_path}/{ds_name}/JPEGImages",
        classes=classes,
    )


options = dict(size=image_size, image_format=image_format, batch_size=batch_size)
data_loader = base.loader(
    shapes("train"), [dict(type="RandomFlip", px=0.5, py=0.0)], **options, shuffle=True, drop_last=True
)
val_data_loader = base.loader(shapes("valid"), [], **options)
for one in (data_loader, val_data_loader):
    one["num_workers"] = num_workers

parts = (model, data_loader, val_data_loader)
float_trainer = bccd.trainer(*parts, num_epochs=num_epochs, lr=lr, warmup_epochs=1, ema_ramp=100.0)
qat_trainer = bccd.trainer(*parts, num_epochs=qat_epochs, lr=qat_lr)
calibration_trainer = bccd.calibrator(*parts)
qat_activations_trainer = bccd.trainer(*parts, num_epochs=qat_activations_epochs, lr=qat_activations_lr)
qat_31_trainer = bccd.trainer(*parts, num_epochs=qat_31_epochs, lr=qat_31_lr)
qconfig = bccd.qconfig
deploy_inputs = dict(img=torch.zeros(1, 3, image_size, image_size))
