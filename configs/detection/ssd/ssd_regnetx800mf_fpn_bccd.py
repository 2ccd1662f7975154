"""SSD, RegNetX-800MF and an FPN of grouped separable convolutions on BCCD: blood cells in 364 photos of 640×480.

export HATLITE_BCCD=/path/to/bccd
config=configs/detection/ssd/ssd_regnetx800mf_fpn_bccd.py
for stage in float calibration qat int_infer; do python tools/train.py --stage $stage --config $config; done
run=tmp_models/ssd_regnetx800mf_fpn_bccd && mkdir ${run}_tidl  # the other march starts from the same float stage
cp ${run}_bayes-sim/{float-checkpoint-last.pth.tar,stages.json} ${run}_tidl
for stage in calibration qat int_infer; do python tools/train.py --stage $stage --config $config --opts march=tidl; done

Measured with these commands on 2026-11-21 on 2 cores of an AMD EPYC (AVX512-VNNI), torch 2.15, OMP_NUM_THREADS=1
OMP_WAIT_POLICY=PASSIVE, float at commit 8ea0429 with this config, the other stages at 28c728c; much other work shared
the cores, so the seconds are upper bounds. Trained at 192×256 on `trainval` (292 photos) for a fixed length from random
weights; the last (moving average) checkpoint of each stage was evaluated on `test` (72 photos).

| stage       | bayes-sim mAP | AP50   | AP75   | seconds | tidl mAP | AP50   | AP75   | seconds |
| ----------- | ------------- | ------ | ------ | ------- | -------- | ------ | ------ | ------- |
| float       | 0.5823        | 0.8973 | 0.6652 | 3594    |          |        |        |         |
| calibration | 0.5793        | 0.8963 | 0.6582 | 75      | 0.5790   | 0.8966 | 0.6704 | 105     |
| qat         | 0.5856        | 0.8958 | 0.6495 | 791     | 0.5840   | 0.8982 | 0.6513 | 731     |
| int_infer   | 0.5856        | 0.8958 | 0.6495 | 18      | 0.5840   | 0.8982 | 0.6513 | 19      |

Points of AP50 against float: bayes-sim −0.10 calibration, −0.15 qat; tidl −0.07 and +0.09. Nothing was chosen for this
backbone.
What was chosen on `val` stands in ssd_mobilenetv2_fpn_bccd.py.
"""

import ssd_mobilenetv2_fpn_bccd as bccd
import ssd_regnetx800mf_fpn_512_voc as base

task_name = "ssd_regnetx800mf_fpn_bccd"
quantize = bccd.quantize
march = bccd.march
ckpt_dir = f"./tmp_models/{task_name}_{march}"
num_classes = bccd.num_classes
num_epochs = bccd.num_epochs
qat_epochs = bccd.qat_epochs
lr = bccd.lr
qat_lr = bccd.qat_lr
stage_checkpoint = bccd.stage_checkpoint
seed = bccd.seed

model = bccd.fitted(base.model)
data_loader, val_data_loader, qconfig = bccd.data_loader, bccd.val_data_loader, bccd.qconfig
float_trainer, calibration_trainer, qat_trainer = bccd.trainers(
    model, data_loader, val_data_loader, num_epochs=num_epochs, qat_epochs=qat_epochs, lr=lr, qat_lr=qat_lr
)
deploy_inputs = bccd.deploy_inputs
