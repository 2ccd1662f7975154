"""SSD on drawn shapes, half as wide as MobileNetV2 and with three levels, for a laptop.

data=tmp_data/shapes
python tools/make_shapes.py --out $data --split train --num-images 2000 --seed 1 --image-size 128x128
python tools/make_shapes.py --out $data --split val --num-images 200 --seed 2 --image-size 128x128
python tools/mscoco_packer.py --src-data-dir $data --target-data-dir $data --split-name train
python tools/mscoco_packer.py --src-data-dir $data --target-data-dir $data --split-name val
python tools/train.py --stage float --config configs/detection/ssd/ssd_mobilenetv2_fpn_shapes.py
python tools/train.py --stage calibration --config configs/detection/ssd/ssd_mobilenetv2_fpn_shapes.py
python tools/train.py --stage qat --config configs/detection/ssd/ssd_mobilenetv2_fpn_shapes.py
python tools/train.py --stage int_infer --config configs/detection/ssd/ssd_mobilenetv2_fpn_shapes.py

Not measured as it stands. With --opts num_epochs=3, 375 steps, on 2026-11-21 on 2 cores of an AMD EPYC (AVX512-VNNI)
that much other work shared, torch 2.15: mAP 0.1050 float (509 s), 0.1047 calibration (24 s), 0.1123 qat (167 s), 0.1123
int_infer (21 s); AP50 0.2354, 0.2343, 0.2428, 0.2428. That is a check that all stages run, not a tuned recipe.
"""

import copy

import ssd_mobilenetv2_fpn_512_voc as base

from configs.detection.fcos.fcos_efficientnetb0_bccd import calibrator, trainer

task_name = "ssd_mobilenetv2_fpn_shapes"
ckpt_dir = f"./tmp_models/{task_name}"
data_path = "./tmp_data/shapes"

num_classes = 5
image_size = (128, 128)
batch_size = 16
num_workers = 2
num_epochs = 5
qat_epochs = 1
lr = 6e-3
qat_lr = 3e-4
stage_checkpoint = "last"
seed = 0
march = "bayes-sim"
quantize = None  # or "calibration", "training": what train.py and predict.py do without --stage

strides = [8, 16, 32]  # an image of 128 pixels has nothing to show at a stride of 64 or more
channels = 64

model = copy.deepcopy(base.model)
model["backbone"]["width_mult"] = 0.5
model["neck"].update(out_strides=strides, num_outs=len(strides), out_channels=channels)
model["head"]["num_classes"] = num_classes
model["head"]["anchor_generator"].update(
    input_size=image_size,
    strides=strides,
    ratios=[[2], [2, 3], [2]],
    basesize_ratio_range=(0.2, 0.5),
    first_ratio=0.1,
)

data_loader = base.loader(
    dict(type="Coco", data_path=f"{data_path}/train_lmdb"),
    [dict(type="Resize", img_scale=image_size, keep_ratio=False), dict(type="RandomFlip", px=0.5, py=0.0)],
    batch_size=batch_size,
    shuffle=True,
    drop_last=True,
)
val_data_loader = base.loader(
    dict(type="Coco", data_path=f"{data_path}/val_lmdb"),
    [dict(type="Resize", img_scale=image_size, keep_ratio=False)],
    batch_size=batch_size,
)

qconfig = base.qconfig
float_trainer = trainer(model, data_loader, val_data_loader, lr=lr, num_epochs=num_epochs, warmup_epochs=1)
calibration_trainer = calibrator(model, val_data_loader, num_steps=20)
qat_trainer = trainer(model, data_loader, val_data_loader, lr=qat_lr, num_epochs=qat_epochs, ema_ramp=50.0)
deploy_inputs = base.example(image_size)
