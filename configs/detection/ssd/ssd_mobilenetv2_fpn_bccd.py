"""SSD with MobileNetV2 and an FPN of depthwise-separable convolutions on BCCD: blood cells in 364 photos."""

import copy

import ssd_mobilenetv2_fpn_512_voc as base

from configs.detection.fcos import fcos_efficientnetb0_bccd as bccd

task_name = "ssd_mobilenetv2_fpn_bccd"
data_path = bccd.data_path
train_split = "trainval"
val_split = "test"
march = "bayes-sim"
ckpt_dir = f"./tmp_models/{task_name}_{march}"

num_classes = 3
image_size = (192, 256)  # (height, width), as the photos of 480×640
batch_size = 8
num_workers = 2
num_epochs = 48
qat_epochs = 9
lr = 6e-3
qat_lr = 6e-4
stage_checkpoint = "last"
seed = 0


def fitted(model):
    """Return `model` of 512×512 pixels and 20 classes for the photos."""
    model = copy.deepcopy(model)
    model["head"]["num_classes"] = num_classes
    model["head"]["anchor_generator"]["input_size"] = image_size
    return model


def trainers(model, data_loader, val_data_loader, *, num_epochs, qat_epochs, lr, qat_lr):
    """Return the trainers of the float, calibration and qat stage; float trains in half precision, which is faster."""
    data = {"data_loader": data_loader, "val_data_loader": val_data_loader}
    float_trainer = bccd.trainer(model, **data, lr=lr, num_epochs=num_epochs, warmup_epochs=2)
    float_trainer["batch_processor"].update(enable_amp=True, amp_dtype="bfloat16")
    calibration_trainer = bccd.calibrator(model, val_data_loader, num_steps=20)
    calibration_trainer["bias_correction"] = dict() if march == "tidl" else None
    return (
        float_trainer,
        calibration_trainer,
        bccd.trainer(model, **data, lr=qat_lr, num_epochs=qat_epochs, ema_ramp=50.0),
    )


model = fitted(base.model)
data_loader = base.loader(
    dict(type="VOCFromImage", data_path=data_path, split=train_split),
    [
        dict(type="Resize", img_scale=image_size, ratio_range=(0.7, 1.4), keep_ratio=True),
        dict(type="RandomCrop", size=image_size),
        dict(type="Pad", size=image_size),
        dict(type="RandomFlip", px=0.5, py=0.5),
        dict(type="AugmentHSV", hgain=0.015, sgain=0.4, vgain=0.3),
    ],
    batch_size=batch_size,
    shuffle=True,
    drop_last=True,
)
val_data_loader = base.loader(
    dict(type="VOCFromImage", data_path=data_path, split=val_split),
    [dict(type="Resize", img_scale=image_size, keep_ratio=False)],
    batch_size=batch_size,
)

qconfig = {**base.quantised_for(march), "bn": "freeze", "bn_freeze_epoch": None}  # batches are small
float_trainer, calibration_trainer, qat_trainer = trainers(
    model, data_loader, val_data_loader, num_epochs=num_epochs, qat_epochs=qat_epochs, lr=lr, qat_lr=qat_lr
)
deploy_inputs = base.example(image_size)
