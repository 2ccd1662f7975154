"""FCOS, EfficientNet-b3 and BiFPN on MS COCO at 896×896; the recipe is fcos_efficientnetb2_mscoco.py's.

The commands are those of fcos_efficientnetb0_mscoco.py, with this file in place of that one. HAT ships b3 at this size
without its details: the neck follows the D3 row of EfficientDet's table, as those of b0 and b2 follow D0 and D2.

Not trained by us: COCO could not be had where this was written. For the chip Journey 6M are published, of another
training: mAP 0.4802 float, 0.4634 calibration, 0.4773 qat, 0.4772 int8, and 3.90 ms.

Counted by tools/calops.py at 896×896: 24.30 GMACs of convolutions, 25.05 by mmcv's rule, 10.13 M parameters.
Simulated by tools/compile_perf.py with random weights, every value through DRAM: 47.845 ms on bayes-sim (2026-11-21).
"""

import copy

import fcos_efficientnetb0_mscoco as base
import fcos_efficientnetb2_mscoco as larger

task_name = "fcos_efficientnetb3_mscoco"
ckpt_dir = f"./tmp_models/{task_name}"
num_classes = base.num_classes
march = base.march
image_size = (896, 896)
batch_size_per_gpu = 8

channels = 160
model = copy.deepcopy(larger.model)
model["backbone"]["model_type"] = "b3"
model["neck"].update(out_channels=channels, stack=6)
model["head"].update(feat_channels=channels)

data_loader = base.train_loader([*larger.joined(image_size, larger.stop_epoch), base.colored], batch_size_per_gpu)
qat_data_loader = base.train_loader(base.zoomed(image_size), batch_size_per_gpu)
val_data_loader = base.val_loader(image_size, batch_size_per_gpu)
align_bpu_data_loader = base.camera_loader(image_size)
float_trainer, calibration_trainer, qat_trainer = base.trainers(
    model, data_loader, qat_data_loader, val_data_loader, larger.lr
)
deploy_inputs = base.example(image_size)
calops_cfg = dict(method="hook", input_shape=(1, 3, *image_size))
compile_cfg = dict(base.compile_cfg, name=task_name, out_dir=ckpt_dir)
infer_cfg = base.infer_cfg
