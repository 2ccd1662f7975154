"""SSD with RegNetX-800MF on drawn shapes, with three narrow levels, for a laptop."""

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
