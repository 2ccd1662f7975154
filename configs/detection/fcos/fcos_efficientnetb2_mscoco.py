"""FCOS, EfficientNet-b2 and BiFPN on MS COCO at 768×768, with Mosaic and MixUp in all epochs but the last fifteen.

The commands are those of fcos_efficientnetb0_mscoco.py, with this file in place of that one.

Not trained by us, and no accuracy is published: COCO could not be had where this was written. For the network at this
size 14.4 ms are published on an RDK X5.

Counted by tools/calops.py at 768×768: 11.03 GMACs of convolutions, 11.43 by mmcv's rule, 6.78 M parameters.
Simulated by tools/compile_perf.py with random weights, every value through DRAM: 24.863 ms on bayes-sim (2026-11-21).
"""

import copy

import fcos_efficientnetb0_mscoco as base

task_name = "fcos_efficientnetb2_mscoco"
ckpt_dir = f"./tmp_models/{task_name}"
num_classes = base.num_classes
march = base.march
image_size = (768, 768)
batch_size_per_gpu = 8
lr = 0.07  # for the 8 · 8 images of the published run
stop_epoch = max(0, base.num_epochs - 15)

channels = 112
model = copy.deepcopy(base.model)
model["backbone"]["model_type"] = "b2"
model["neck"].update(out_channels=channels, stack=5)
model["head"].update(feat_channels=channels)
model["targets"]["loss_reg"]["loss_weight"] = 3.0


def joined(image_size, stop_epoch):
    """Return the transforms of four pictures around a point, mixed with four others, until `stop_epoch`."""
    return [
        dict(type="Mosaic", img_scale=image_size, stop_epoch=stop_epoch),
        dict(type="MixUp", stop_epoch=stop_epoch),
        *base.whole(image_size),
        dict(type="RandomFlip", px=0.5, py=0),
    ]


data_loader = base.train_loader([*joined(image_size, stop_epoch), base.colored], batch_size_per_gpu)
qat_data_loader = base.train_loader(base.zoomed(image_size), batch_size_per_gpu)
val_data_loader = base.val_loader(image_size, batch_size_per_gpu)
align_bpu_data_loader = base.camera_loader(image_size)
float_trainer, calibration_trainer, qat_trainer = base.trainers(
    model, data_loader, qat_data_loader, val_data_loader, lr
)
deploy_inputs = base.example(image_size)
calops_cfg = dict(method="hook", input_shape=(1, 3, *image_size))
compile_cfg = dict(base.compile_cfg, name=task_name, out_dir=ckpt_dir)
infer_cfg = base.infer_cfg
