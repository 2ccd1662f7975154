"""GNetDet for the GTI 5801, 224×224: as gnetdet_448_voc.py, but that the first pool comes one convolution later.

export HATLITE_GNETDET=/path/to/data  # holds VOC0712/Annotations and VOC0712/JPEGImages; default: ./data
config=configs/detection/gnetdet/gnetdet_224_voc.py
python tools/voc_to_meta.py --config $config  # writes meta/VOC0712_{train,valid}.txt there
for stage in float qat calibration qat_activations qat_31 int_infer; do
    python tools/train.py --stage $stage --config $config
done
python tools/calops.py --config $config

No accuracy was measured here with this config, and none is published. tests/integration/test_complexity.py holds the
network against the published table: 16 convolutions, 6,525,278 parameters and 11.31 GMACs, nearly as much work as at
448×448.
"""

import copy

import gnetdet_448_voc as base
import torch

task_name = "gnetdet_224_voc"
ckpt_dir = f"./tmp_models/{task_name}"
classes = base.classes
num_classes = len(classes)
image_size = 224
batch_size = base.batch_size
seed = base.seed
march = base.march
stages = base.stages
conf_thresh, prob_thresh, nms_thresh = base.conf_thresh, base.prob_thresh, base.nms_thresh

model = copy.deepcopy(base.model)
model["backbone"]["input_size"] = image_size
data_loader = base.loader(
    base.metadata("train"), base.augmentations(), size=image_size, batch_size=batch_size, shuffle=True, drop_last=True
)
val_data_loader = base.loader(base.metadata("valid"), [], size=image_size, batch_size=batch_size)

qconfig = base.quantisation(image_size, base.kernel_step)
float_trainer = base.trainer(model, data_loader, val_data_loader, base.lr)
qat_trainer = base.trainer(model, data_loader, val_data_loader, base.qat_lr)
calibration_trainer = base.calibrator(model, val_data_loader)
qat_activations_trainer = base.trainer(model, data_loader, val_data_loader, base.qat_activations_lr)
qat_31_trainer = base.trainer(model, data_loader, val_data_loader, base.qat_31_lr)
deploy_inputs = dict(img=torch.zeros(1, 3, image_size, image_size))
