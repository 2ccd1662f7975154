"""SSD with ResNet-50 and an FPN of plain convolutions, 512×512, on Pascal VOC 2007 and 2012.

export HATLITE_VOC=/path/to/VOCdevkit  # with VOC2007 and VOC2012: trained on both trainval, evaluated on test of 2007
python tools/train.py --stage float --config configs/detection/ssd/ssd_resnet50_fpn_512_voc.py
python tools/train.py --stage calibration --config configs/detection/ssd/ssd_resnet50_fpn_512_voc.py
python tools/train.py --stage qat --config configs/detection/ssd/ssd_resnet50_fpn_512_voc.py
python tools/train.py --stage int_infer --config configs/detection/ssd/ssd_resnet50_fpn_512_voc.py
python tools/calops.py --config configs/detection/ssd/ssd_resnet50_fpn_512_voc.py --input-shape "1,3,512,512"

No accuracy was measured here with this config. Texas Instruments publishes for theirs 80.5 mAP float,
77.0 calibration, 79.5 QAT (8 bits, power-of-two scales) and 27.1 GMACs.
tests/integration/test_complexity.py holds this network against 27.1045 GMACs by the rule of mmcv, 24,560 anchors and
29.81 million parameters. `pretrained` may name a state dict of torchvision's resnet50.
What else differs from theirs stands in ssd_mobilenetv2_fpn_512_voc.py.
"""

import copy

import ssd_mobilenetv2_fpn_512_voc as base

task_name = "ssd_resnet50_fpn_512_voc"
ckpt_dir = f"./tmp_models/{task_name}"
num_classes = base.num_classes
seed = base.seed
march = base.march
quantize = base.quantize

model = copy.deepcopy(base.model)
model["backbone"] = dict(type="ResNet", depth=50)
model["neck"]["conv_type"] = model["head"]["conv_type"] = "plain"

data_loader, qat_data_loader, val_data_loader = base.data_loader, base.qat_data_loader, base.val_data_loader
qconfig = base.qconfig
float_trainer, calibration_trainer, qat_trainer = base.trainers(model)
deploy_inputs = base.deploy_inputs
