"""FCOS on drawn shapes, half as wide as EfficientNet-b0 and with three levels, for a laptop: what `make demo` runs.

data=tmp_data/demo/shapes
python tools/make_shapes.py --out $data --split train --num-images 2000 --seed 1 --image-size 128x128
python tools/make_shapes.py --out $data --split val --num-images 200 --seed 2 --image-size 128x128
python tools/mscoco_packer.py --src-data-dir $data --target-data-dir $data --split-name train
python tools/mscoco_packer.py --src-data-dir $data --target-data-dir $data --split-name val
python tools/train.py --stage float --config configs/detection/fcos/fcos_efficientnetb0_shapes.py
python tools/train.py --stage calibration --config configs/detection/fcos/fcos_efficientnetb0_shapes.py
python tools/train.py --stage qat --config configs/detection/fcos/fcos_efficientnetb0_shapes.py
python tools/train.py --stage int_infer --config configs/detection/fcos/fcos_efficientnetb0_shapes.py

Measured with `make demo` on 2026-11-21 on 2 cores of an AMD EPYC (AVX512-VNNI), torch 2.15; 3.7 minutes from the first
image drawn to the end. mAP 0.5219 float (137 s), 0.5212 calibration (5 s), 0.5290 qat (31 s), 0.5290 int_infer (6 s).
Before, on 2 cores of a Xeon at 2.50 GHz: 6.7 minutes, mAP 0.5346, 0.5366, 0.5414, 0.5414.
"""

import copy

import fcos_efficientnetb0_bccd as base
import torch

task_name = "fcos_efficientnetb0_shapes"
ckpt_dir = "./tmp_data/demo"
data_path = "./tmp_data/demo/shapes"

num_classes = 5
image_size = (128, 128)
batch_size = 16
num_epochs = 5
qat_epochs = 1
lr = 2.5e-2
qat_lr = 5e-4
stage_checkpoint = "last"
seed = 0
march = "bayes-sim"

strides = [8, 16, 32]  # an image of 128 pixels has nothing to show at a stride of 64 or 128

model = copy.deepcopy(base.model)
model["backbone"]["width_coefficient"] = 0.5
model["neck"].update(stack=2, out_strides=strides, num_outs=len(strides))
model["head"].update(
    num_classes=num_classes,
    stacked_convs=2,
    in_strides=strides,
    out_strides=strides,
    stride2channels=dict.fromkeys(strides, 64),
)

data_loader = base.loader(
    dict(type="Coco", data_path=f"{data_path}/train_lmdb"),
    [
        dict(type="Resize", img_scale=image_size, keep_ratio=True),
        dict(type="Pad", size=image_size),
        dict(type="RandomFlip", px=0.5, py=0),
    ],
    batch_size=batch_size,
    shuffle=True,
    drop_last=True,
)
val_data_loader = base.loader(
    dict(type="Coco", data_path=f"{data_path}/val_lmdb"),
    [dict(type="Resize", img_scale=image_size, keep_ratio=True), dict(type="Pad", size=image_size)],
    batch_size=batch_size,
)

qconfig = base.qconfig
float_trainer = base.trainer(model, data_loader, val_data_loader, lr=lr, num_epochs=num_epochs, warmup_epochs=1)
calibration_trainer = base.calibrator(model, val_data_loader, num_steps=20)
qat_trainer = base.trainer(model, data_loader, val_data_loader, lr=qat_lr, num_epochs=qat_epochs, ema_ramp=50.0)
for part in (float_trainer, qat_trainer):
    part["optimizer"]["fused"] = True  # many small parameters: one call instead of ten for each

deploy_inputs = dict(img=torch.zeros(1, 3, *image_size))
calops_cfg = dict(method="hook", input_shape=(1, 3, *image_size))
compile_cfg = dict(march=march, name=task_name, out_dir=ckpt_dir, input_source=["pyramid"], opt="O3")
infer_cfg = dict(viz_func=dict(type="DetViz", score_threshold=0.3))
