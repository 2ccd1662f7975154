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

Measured with these commands on 2026-11-21 on 2 cores of an AMD EPYC (AVX512-VNNI) that much other work shared, torch
2.15, OMP_NUM_THREADS=1, at commit 28c728c with this config.

| stage       | mAP    | AP50   | AP75   | seconds |
| ----------- | ------ | ------ | ------ | ------- |
| float       | 0.3228 | 0.5998 | 0.3006 | 497     |
| calibration | 0.3216 | 0.5981 | 0.2961 | 9       |
| qat         | 0.3256 | 0.6070 | 0.3039 | 65      |
| int_infer   | 0.3256 | 0.6070 | 0.3039 | 8       |

Six epochs are a start, and the loss was still falling.
"""

import copy

import ssd_mobilenetv2_fpn_512_voc as base
import ssd_mobilenetv2_fpn_bccd as bccd

task_name = "ssd_mobilenetv2_fpn_shapes"
data_path = "./tmp_data/shapes"
quantize = base.quantize
march = "bayes-sim"
ckpt_dir = f"./tmp_models/{task_name}_{march}"

num_classes = 5
image_size = (128, 128)
batch_size = 8
num_workers = 2
num_epochs = 6
qat_epochs = 1
lr = 6e-3
qat_lr = 3e-4
stage_checkpoint = "last"
seed = 0

strides = [8, 16, 32]  # an image of 128 pixels has nothing to show at a stride of 64 or more


def fitted(model, **backbone):
    """Return `model` of 512×512 pixels and 20 classes for the shapes: three narrow levels, and another backbone."""
    model = copy.deepcopy(model)
    model["backbone"].update(backbone)
    model["neck"].update(out_strides=strides, num_outs=len(strides), out_channels=64)
    model["head"]["num_classes"] = num_classes
    model["head"]["anchor_generator"].update(
        input_size=image_size,
        strides=strides,
        ratios=[[2], [2, 3], [2]],
        basesize_ratio_range=(0.2, 0.5),
        first_ratio=0.1,
    )
    return model


model = fitted(base.model, width_mult=0.5)
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

qconfig = bccd.qconfig
float_trainer, calibration_trainer, qat_trainer = bccd.trainers(
    model, data_loader, val_data_loader, num_epochs=num_epochs, qat_epochs=qat_epochs, lr=lr, qat_lr=qat_lr
)
deploy_inputs = base.example(image_size)
