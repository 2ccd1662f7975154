"""SSD with RegNetX-800MF on drawn shapes, with three narrow levels, for a laptop.

The data are drawn by the first four commands of ssd_mobilenetv2_fpn_shapes.py; then
for stage in float calibration qat int_infer; do
    python tools/train.py --stage $stage --config configs/detection/ssd/ssd_regnetx800mf_fpn_shapes.py
done

Measured with these commands on 2026-11-21 on 2 cores of an AMD EPYC (AVX512-VNNI) that much other work shared, torch
2.15, OMP_NUM_THREADS=1, at commit 28c728c with this config.

| stage       | mAP    | AP50   | AP75   | seconds |
| ----------- | ------ | ------ | ------ | ------- |
| float       | 0.2161 | 0.4036 | 0.1979 | 671     |
| calibration | 0.2163 | 0.4036 | 0.2000 | 20      |
| qat         | 0.2199 | 0.4163 | 0.2021 | 176     |
| int_infer   | 0.2199 | 0.4163 | 0.2021 | 14      |

Six epochs at a rate that was chosen for another backbone: a check that all stages run, not a tuned recipe.
"""

import ssd_mobilenetv2_fpn_bccd as bccd
import ssd_mobilenetv2_fpn_shapes as shapes
import ssd_regnetx800mf_fpn_512_voc as base

task_name = "ssd_regnetx800mf_fpn_shapes"
quantize = shapes.quantize
march = shapes.march
ckpt_dir = f"./tmp_models/{task_name}_{march}"
num_classes = shapes.num_classes
num_epochs = shapes.num_epochs
qat_epochs = shapes.qat_epochs
lr = shapes.lr
qat_lr = shapes.qat_lr
stage_checkpoint = shapes.stage_checkpoint
seed = shapes.seed

model = shapes.fitted(base.model)
data_loader, val_data_loader, qconfig = shapes.data_loader, shapes.val_data_loader, shapes.qconfig
float_trainer, calibration_trainer, qat_trainer = bccd.trainers(
    model, data_loader, val_data_loader, num_epochs=num_epochs, qat_epochs=qat_epochs, lr=lr, qat_lr=qat_lr
)
deploy_inputs = shapes.deploy_inputs
