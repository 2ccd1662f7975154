"""FCOS, ResNet-50 and BiFPN on MS COCO at 512×512: the tutorial's run with another backbone, which is one dict.

The commands are those of fcos_efficientnetb0_mscoco.py, with this file in place of that one. The neck learns the
channels from the backbone. To start from torchvision's classifier, save its weights where they can be had,

    torch.save(torchvision.models.resnet50(weights="IMAGENET1K_V2").state_dict(), "tmp_data/resnet50.pth")

and add --opts model.pretrained=tmp_data/resnet50.pth to the float stage.

Not trained by us, and no accuracy is published: COCO could not be had where this was written.

Counted by tools/calops.py at 512×512: 22.29 GMACs of convolutions, 22.47 by mmcv's rule, 24.27 M parameters.
Simulated by tools/compile_perf.py with random weights, every value through DRAM: 17.204 ms on bayes-sim (2026-11-21).
"""

import copy

import fcos_efficientnetb0_mscoco as base

task_name = "fcos_resnet50_mscoco"
ckpt_dir = f"./tmp_models/{task_name}"
num_classes = base.num_classes
march = base.march

model = copy.deepcopy(base.model)
model["backbone"] = dict(type="resnet50", bn_kwargs=base.bn_kwargs)

data_loader, qat_data_loader, val_data_loader = base.data_loader, base.qat_data_loader, base.val_data_loader
align_bpu_data_loader = base.align_bpu_data_loader
float_trainer, calibration_trainer, qat_trainer = base.trainers(
    model, data_loader, qat_data_loader, val_data_loader, base.lr
)
deploy_inputs = base.deploy_inputs
calops_cfg = base.calops_cfg
compile_cfg = dict(base.compile_cfg, name=task_name, out_dir=ckpt_dir)
infer_cfg = base.infer_cfg
