"""FCOS, EfficientNet-b1 and BiFPN on MS COCO at 512×512; everything else is fcos_efficientnetb0_mscoco.py's.

The commands are those of fcos_efficientnetb0_mscoco.py, with this file in place of that one. HAT ships b1 at this size
without its details: the neck follows the D1 row of EfficientDet's table, as those of b0 and b2 follow D0 and D2.

Not trained by us, and no accuracy is published: COCO could not be had where this was written.

Counted by tools/calops.py at 512×512: 3.89 GMACs of convolutions, 4.05 by mmcv's rule, 5.51 M parameters.
Simulated by tools/compile_perf.py with random weights, every value through DRAM: 9.822 ms on bayes-sim (2026-11-21).
"""

import copy

import fcos_efficientnetb0_mscoco as base

task_name = "fcos_efficientnetb1_mscoco"
ckpt_dir = f"./tmp_models/{task_name}"
num_classes = base.num_classes
march = base.march

channels = 88
model = copy.deepcopy(base.model)
model["backbone"]["model_type"] = "b1"
model["neck"].update(out_channels=channels, stack=4)
model["head"].update(feat_channels=channels)

data_loader, qat_data_loader, val_data_loader = base.data_loader, base.qat_data_loader, base.val_data_loader
align_bpu_data_loader = base.align_bpu_data_loader
float_trainer, calibration_trainer, qat_trainer = base.trainers(
    model, data_loader, qat_data_loader, val_data_loader, base.lr
)
deploy_inputs = base.deploy_inputs
calops_cfg = base.calops_cfg
compile_cfg = dict(base.compile_cfg, name=task_name, out_dir=ckpt_dir)
infer_cfg = base.infer_cfg
