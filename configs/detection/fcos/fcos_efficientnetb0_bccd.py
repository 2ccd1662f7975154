"""FCOS, EfficientNet-b0 and BiFPN on BCCD: blood cells in 364 photos of 640×480, Pascal VOC format.

    export HATLITE_BCCD=/path/to/bccd
    python tools/train.py --stage float       --config configs/detection/fcos/fcos_efficientnetb0_bccd.py
    python tools/train.py --stage calibration --config configs/detection/fcos/fcos_efficientnetb0_bccd.py
    python tools/train.py --stage qat         --config configs/detection/fcos/fcos_efficientnetb0_bccd.py
    python tools/train.py --stage int_infer   --config configs/detection/fcos/fcos_efficientnetb0_bccd.py
"""

import os

import torch

task_name = "fcos_efficientnetb0_bccd"
ckpt_dir = f"./tmp_models/{task_name}"
data_path = os.environ.get("HATLITE_BCCD", "./tmp_data/bccd")
train_split = "trainval"
val_split = "test"

num_classes = 3
num_epochs = 60
qat_epochs = 3
lr = 1e-3
qat_lr = 5e-5
batch_size = 8
num_workers = 2
val_interval = 1000
image_size = (256, 384)
seed = 0
march = "bayes-sim"
stage_checkpoint = "last"

strides = [8, 16, 32, 64, 128]
channels = 64

model = dict(
    type="FCOS",
    backbone=dict(
        type="efficientnet",
        bn_kwargs={},
        model_type="b0",
        num_classes=1000,
        include_top=False,
        activation="relu",
        use_se_block=False,
    ),
    neck=dict(
        type="BiFPN",
        in_strides=[2, 4, 8, 16, 32],
        out_strides=strides,
        out_channels=channels,
        num_outs=5,
        stack=3,
        start_level=2,
        end_level=-1,
        fpn_name="bifpn_sum",
    ),
    head=dict(
        type="FCOSHead",
        num_classes=num_classes,
        in_strides=strides,
        out_strides=strides,
        stride2channels={stride: channels for stride in strides},
        upscale_bbox_pred=True,
        feat_channels=channels,
        stacked_convs=4,
        int8_output=False,
        int16_output=True,
        dequant_output=True,
    ),
    targets=dict(
        type="DynamicFcosTarget",
        topK=10,
        loss_cls=dict(type="FocalLoss", loss_name="cls", alpha=0.25, gamma=2.0, loss_weight=1.0, reduction="none"),
        loss_reg=dict(type="GIoULoss", loss_name="reg", loss_weight=2.0, reduction="none"),
    ),
    post_process=dict(
        type="FCOSDecoder",
        nms_use_centerness=True,
        nms_sqrt=True,
        rescale=True,
        test_cfg=dict(score_thr=0.05, nms_pre=1000, nms=dict(name="nms", iou_threshold=0.6, max_per_img=100)),
    ),
    loss_cls=dict(type="FocalLoss", loss_name="cls", alpha=0.25, gamma=2.0, loss_weight=1.0),
    loss_centerness=dict(type="CrossEntropyLossV2", loss_name="centerness", use_sigmoid=True),
    loss_reg=dict(type="GIoULoss", loss_name="reg", loss_weight=1.0),
)

to_network = [dict(type="ToTensor", to_yuv=True), dict(type="Normalize", mean=128.0, std=128.0)]


def loader(split, transforms, **options):
    """Return the config of a loader over one split."""
    return dict(
        type=torch.utils.data.DataLoader,
        dataset=dict(type="VOCFromImage", data_path=data_path, split=split, transforms=transforms + to_network),
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=dict(type="Collate2D"),
        **options,
    )


data_loader = loader(
    train_split,
    [
        dict(type="Resize", img_scale=image_size, ratio_range=(0.7, 1.4), keep_ratio=True),
        dict(type="RandomCrop", size=image_size),
        dict(type="Pad", size=image_size),
        dict(type="RandomFlip", px=0.5, py=0.5),
        dict(type="AugmentHSV", hgain=0.015, sgain=0.4, vgain=0.3),
    ],
    shuffle=True,
    drop_last=True,
)
qat_data_loader = data_loader
val_data_loader = loader(
    val_split, [dict(type="Resize", img_scale=image_size, keep_ratio=True), dict(type="Pad", size=image_size)]
)
val_metrics = dict(type="COCODetectionMetric")

stat_callback = dict(type="StatsMonitor", log_freq=10)
val_callback = dict(type="Validation", data_loader=val_data_loader, val_interval=val_interval)
ckpt_callback = dict(type="Checkpoint", monitor_metric_key="AP50")

float_trainer = dict(
    type="distributed_data_parallel_trainer",
    model=model,
    data_loader=data_loader,
    optimizer=dict(type=torch.optim.AdamW, params={"weight": dict(weight_decay=0.02)}, lr=lr, weight_decay=0.0),
    batch_processor=dict(type="MultiBatchProcessor", need_grad_update=True, clip_grad_norm=10.0),
    num_epochs=num_epochs,
    callbacks=[
        stat_callback,
        dict(type="ExponentialMovingAverage", decay=0.998, ramp=300.0),
        dict(type="CosLrUpdater", warmup_len=2, warmup_by="epoch", stop_lr=1e-5),
        val_callback,
        ckpt_callback,
        dict(type="TensorBoard"),
    ],
    train_metrics=dict(type="LossShow"),
    val_metrics=val_metrics,
)

calibration_trainer = dict(
    type="Calibrator", model=model, num_steps=20, callbacks=[val_callback, ckpt_callback], val_metrics=val_metrics
)
qconfig = dict(type="QConfig", activation=dict(dtype="int8", observer="mse"))

qat_trainer = dict(
    type="distributed_data_parallel_trainer",
    model=model,
    data_loader=qat_data_loader,
    optimizer=dict(type=torch.optim.AdamW, params={"weight": dict(weight_decay=0.02)}, lr=qat_lr, weight_decay=0.0),
    batch_processor=dict(type="MultiBatchProcessor", need_grad_update=True, clip_grad_norm=10.0),
    num_epochs=qat_epochs,
    callbacks=[
        stat_callback,
        dict(type="ExponentialMovingAverage", decay=0.998, ramp=50.0),
        dict(type="CosLrUpdater", stop_lr=1e-6),
        val_callback,
        ckpt_callback,
        dict(type="TensorBoard"),
    ],
    train_metrics=dict(type="LossShow"),
    val_metrics=val_metrics,
)
