"""SSD with ResNet-50 on BCCD: blood cells in 364 photos, VOC format."""

import ssd_mobilenetv2_fpn_bccd as bccd
import ssd_resnet50_fpn_512_voc as base

task_name = "ssd_resnet50_fpn_bccd"
march = bccd.march
ckpt_dir = f"./tmp_models/{task_name}_{march}"
num_classes = bccd.num_classes
num_epochs = 24
qat_epochs = 4
lr = 1.5e-3
qat_lr = 1.5e-4
stage_checkpoint = bccd.stage_checkpoint
seed = bccd.seed

model = bccd.fitted(base.model)
data_loader, val_data_loader, qconfig = bccd.data_loader, bccd.val_data_loader, bccd.qconfig
float_trainer, calibration_trainer, qat_trainer = bccd.trainers(
    model, data_loader, val_data_loader, num_epochs=num_epochs, qat_epochs=qat_epochs, lr=lr, qat_lr=qat_lr
)
deploy_inputs = bccd.deploy_inputs
