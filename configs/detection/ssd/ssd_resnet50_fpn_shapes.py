"""SSD with ResNet-50 on drawn shapes, with three narrow levels, for a laptop.

The data are drawn by the first four commands of ssd_mobilenetv2_fpn_shapes.py; then
for stage in float calibration qat int_infer; do
    python tools/train.py --stage $stage --config configs/detection/ssd/ssd_resnet50_fpn_shapes.py
done

Not measured.
"""

import ssd_mobilenetv2_fpn_bccd as bccd
import ssd_mobilenetv2_fpn_shapes as shapes
import ssd_resnet50_fpn_512_voc as base

task_name = "ssd_resnet50_fpn_shapes"
quantize = shapes.quantize
march = shapes.march
ckpt_dir = f"./tmp_models/{task_name}_{march}"
num_classes = shapes.num_classes
num_epochs = shapes.num_epochs
qat_epochs = shapes.qat_epochs
lr = 1.5e-3
qat_lr = shapes.qat_lr
stage_checkpoint = shapes.stage_checkpoint
seed = shapes.seed

model = shapes.fitted(base.model)
data_loader, val_data_loader, qconfig = shapes.data_loader, shapes.val_data_loader, shapes.qconfig
float_trainer, calibration_trainer, qat_trainer = bccd.trainers(
    model, data_loader, val_data_loader, num_epochs=num_epochs, qat_epochs=qat_epochs, lr=lr, qat_lr=qat_lr
)
deploy_inputs = shapes.deploy_inputs
