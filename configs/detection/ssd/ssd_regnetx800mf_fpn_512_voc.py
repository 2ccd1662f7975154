"""SSD with RegNetX-800MF and an FPN of separable convolutions in groups of 16, 512×512, on Pascal VOC 2007 and 2012.

export HATLITE_VOC=/path/to/VOCdevkit  # with VOC2007 and VOC2012: trained on both trainval, evaluated on test of 2007
python tools/train.py --stage float --config configs/detection/ssd/ssd_regnetx800mf_fpn_512_voc.py
python tools/train.py --stage calibration --config configs/detection/ssd/ssd_regnetx800mf_fpn_512_voc.py
python tools/train.py --stage qat --config configs/detection/ssd/ssd_regnetx800mf_fpn_512_voc.py
python tools/train.py --stage int_infer --config configs/detection/ssd/ssd_regnetx800mf_fpn_512_voc.py
python tools/calops.py --config configs/detection/ssd/ssd_regnetx800mf_fpn_512_voc.py --input-shape "1,3,512,512"

No accuracy was measured here with this config. Texas Instruments publishes for theirs 79.7 mAP float,
79.0 calibration, 79.5 QAT (8 bits, power-of-two scales) and 5.64 GMACs.
tests/integration/test_complexity.py holds this network against 5.6445 GMACs by the rule of mmcv, 24,560 anchors and
8.14 million parameters. `pretrained` may name a state dict of torchvision's regnet_x_800mf; theirs starts from
other weights, which want BGR: --opts to_bgr=True.
What else differs from theirs stands in ssd_mobilenetv2_fpn_512_voc.py.
"""

import copy

import ssd_mobilenetv2_fpn_512_voc as base

task_name = "ssd_regnetx800mf_fpn_512_voc"
ckpt_dir = f"./tmp_models/{task_name}"
num_classes = base.num_classes
seed = base.seed
march = base.march
quantize = base.quantize

model = copy.deepcopy(base.model)
model["backbone"] = dict(type="RegNet", model_type="x_800mf")
model["neck"]["conv_type"] = model["head"]["conv_type"] = "grouped"

data_loader, qat_data_loader, val_data_loader = base.data_loader, base.qat_data_loader, base.val_data_loader
qconfig = base.qconfig
float_trainer, calibration_trainer, qat_trainer = base.trainers(model)
deploy_inputs = base.deploy_inputs
