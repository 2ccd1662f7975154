"""SSD512 with VGG16 on Pascal VOC 2007 and 2012: float only, L2Norm has no integer form.

export HATLITE_VOC=/path/to/VOCdevkit  # with VOC2007 and VOC2012: trained on both trainval, evaluated on test of 2007
python tools/train.py --stage float --config configs/detection/ssd/ssd512_vgg16_voc.py
python tools/calops.py --config configs/detection/ssd/ssd512_vgg16_voc.py --input-shape "1,3,512,512"

No accuracy was measured here with this config. Published for this network: 79.8 mAP float, 90.39 GMACs.
tests/integration/test_complexity.py holds it against 90.3867 GMACs by the rule of mmcv, 24,564 anchors and 27.19
million parameters. With --opts model.neck.l2_norm_scale=None it has an integer form.

`pretrained` may name a state dict of torchvision's vgg16, from whose fully connected layers fc6 and fc7 take every
fourth output. The published training starts from Caffe's weights, whose pixels are centred and not divided.
"""

import copy

import ssd_mobilenetv2_fpn_512_voc as base
import torch

task_name = "ssd512_vgg16_voc"
ckpt_dir = f"./tmp_models/{task_name}"
num_classes = base.num_classes
image_size = base.image_size
repeats = 10
num_epochs = 24
lr = 1e-3
weight_decay = 5e-4
warmup_steps = 500
val_interval = 4
seed = 0
march = base.march
quantize = base.quantize
stages = [dict(name="float", kind="float")]

strides = [8, 16, 32, 64, 128, 256, 512]

model = copy.deepcopy(base.model)
model["backbone"] = dict(type="SSDVGG")
model["neck"] = dict(
    type="SSDNeck",
    in_strides=[8, 16],
    out_strides=strides,
    out_channels=[512, 1024, 512, 256, 256, 256, 256],
    l2_norm_scale=20.0,
)
model["head"].update(
    conv_type="plain",
    anchor_generator=dict(
        type="SSDAnchorGenerator",
        input_size=image_size,
        strides=strides,
        ratios=[[2], [2, 3], [2, 3], [2, 3], [2, 3], [2], [2]],
        basesize_ratio_range=(0.15, 0.9),
    ),
)

data_loader = copy.deepcopy(base.data_loader)
data_loader["dataset"]["times"] = repeats
val_data_loader = base.val_data_loader
float_trainer = base.trainer(
    model,
    data_loader,
    val_data_loader,
    lr=lr,
    num_epochs=num_epochs,
    warmup_steps=warmup_steps,
    metric=base.metric,
    val_interval=val_interval,
)
float_trainer["optimizer"] = dict(type=torch.optim.SGD, lr=lr, momentum=0.9, weight_decay=weight_decay)
float_trainer["callbacks"][1] = dict(
    type="StepDecayLrUpdater", lr_decay_id=[16, 20], warmup_len=warmup_steps, warmup_by="step"
)
deploy_inputs = base.deploy_inputs
