"""SSD with MobileNetV2 and an FPN of depthwise-separable convolutions, 512×512, on Pascal VOC 2007 and 2012.

export HATLITE_VOC=/path/to/VOCdevkit  # with VOC2007 and VOC2012: trained on both trainval, evaluated on test of 2007
python tools/train.py --stage float --config configs/detection/ssd/ssd_mobilenetv2_fpn_512_voc.py
python tools/train.py --stage calibration --config configs/detection/ssd/ssd_mobilenetv2_fpn_512_voc.py
python tools/train.py --stage qat --config configs/detection/ssd/ssd_mobilenetv2_fpn_512_voc.py
python tools/train.py --stage int_infer --config configs/detection/ssd/ssd_mobilenetv2_fpn_512_voc.py
python tools/calops.py --config configs/detection/ssd/ssd_mobilenetv2_fpn_512_voc.py --input-shape "1,3,512,512"

No accuracy was measured here with this config. Texas Instruments publishes for theirs, from which network,
anchors, losses and schedule are taken: 76.1 mAP float, 75.4 calibration, 75.4 QAT (8 bits, power-of-two scales) and
2.21 GMACs.
tests/integration/test_complexity.py holds this network against 2.2117 GMACs by the rule of mmcv, 24,560 anchors and
2.58 million parameters.

What differs from theirs: pixels are divided by 128 and not by 64, because the network's input is the pixel minus 128;
calibration and qat have the arithmetic of the march below. Their float training starts from weights of ImageNet, which
`pretrained` names if it is a file with the state dict of torchvision's mobilenet_v2. With four processes set
grad_accumulation_step=1: 64 images make a step.
"""

import os

import torch

task_name = "ssd_mobilenetv2_fpn_512_voc"
ckpt_dir = f"./tmp_models/{task_name}"
data_path = os.environ.get("HATLITE_VOC", "./tmp_data/VOCdevkit")
pretrained = None

classes = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]
num_classes = len(classes)
image_size = (512, 512)
to_bgr = False  # weights that were trained on pictures of OpenCV want it
batch_size = 16
grad_accumulation_step = 4
num_workers = 4
repeats = 5  # an epoch is five passes
num_epochs = 24
qat_epochs = 5
lr = 1e-2
qat_lr = 1e-3
warmup_steps = 1000
weight_decay = 1e-4  # of all parameters
val_interval = 4
seed = 0
march = "bayes-sim"
quantize = None  # or "calibration", "training": what tools/train.py and predict.py do without --stage

strides = [8, 16, 32, 64, 128, 256]

model = dict(
    type="SSD",
    pretrained=pretrained,
    backbone=dict(type="MobileNetV2", activation="relu"),
    neck=dict(
        type="FPN",
        in_strides=[2, 4, 8, 16, 32],
        out_strides=strides,
        out_channels=256,
        num_outs=6,
        start_level=2,
        conv_type="depthwise",
        upsample="bilinear",
        add_extra_convs="on_output",
    ),
    head=dict(
        type="SSDHead",
        num_classes=num_classes,
        conv_type="depthwise",
        int16_output=True,
        anchor_generator=dict(
            type="SSDAnchorGenerator",
            input_size=image_size,
            strides=strides,
            ratios=[[2], [2, 3], [2, 3], [2, 3], [2, 3], [2]],
            basesize_ratio_range=(0.1, 0.9),
        ),
    ),
    box_coder=dict(type="DeltaXYWHCoder", means=(0.0, 0.0, 0.0, 0.0), stds=(0.1, 0.1, 0.2, 0.2)),
    targets=dict(
        type="MaxIoUAssigner",
        pos_iou_thr=0.5,
        neg_iou_thr=0.5,
        min_pos_iou=0.0,
        ignore_iof_thr=-1,
        gt_max_assign_all=False,
    ),
    post_process=dict(
        type="SSDDecoder",
        test_cfg=dict(score_thr=0.02, nms=dict(name="nms", iou_threshold=0.45, max_per_img=200)),
    ),
    neg_pos_ratio=3.0,
    loss_cls=dict(type="CrossEntropyLossV2", use_sigmoid=False, loss_name="cls"),
    loss_reg=dict(type="SmoothL1Loss", beta=1.0, loss_name="reg"),
)


def voc(year, split):
    """Return one year's data set; difficult objects stay, as regions that the metric passes over."""
    return dict(type="VOCFromImage", data_path=f"{data_path}/VOC{year}", split=split, classes=classes)


def loader(dataset, transforms, **options):
    """Return a loader of `dataset` whose images end as centred RGB (or BGR) in −1…1."""
    to_network = [dict(type="ToTensor", to_bgr=to_bgr), dict(type="Normalize", mean=128.0, std=128.0)]
    return dict(
        type=torch.utils.data.DataLoader,
        dataset=dict(dataset, transforms=[*transforms, *to_network]),
        num_workers=num_workers,
        collate_fn=dict(type="Collate2D"),
        **options,
    )


def augmentations(image_size):
    """Return the published ones, in their order."""
    return [
        dict(
            type="PhotoMetricDistortion",
            brightness_delta=32.0,
            contrast_range=(0.5, 1.5),
            saturation_range=(0.5, 1.5),
            hue_delta=18.0,
        ),
        dict(type="Expand", mean=128.0, ratio_range=(1.0, 4.0)),
        dict(type="MinIoURandomCrop", min_ious=(0.1, 0.3, 0.5, 0.7, 0.9), min_crop_size=0.3),
        dict(type="Resize", img_scale=image_size, keep_ratio=False),
        dict(type="RandomFlip", px=0.5, py=0.0),
    ]


data_loader = loader(
    dict(
        type="RepeatDataset",
        times=repeats,
        dataset=dict(type="ConcatDataset", datasets=[voc(2007, "trainval"), voc(2012, "trainval")]),
    ),
    augmentations(image_size),
    batch_size=batch_size,
    shuffle=True,
    drop_last=True,
)
qat_data_loader = loader(
    dict(type="ConcatDataset", datasets=[voc(2007, "trainval"), voc(2012, "trainval")]),
    augmentations(image_size),
    batch_size=batch_size,
    shuffle=True,
    drop_last=True,
)
val_data_loader = loader(
    voc(2007, "test"), [dict(type="Resize", img_scale=image_size, keep_ratio=False)], batch_size=batch_size
)


def trainer(model, data_loader, val_data_loader, *, lr, num_epochs, warmup_steps, metric, val_interval=1):
    """Return a trainer with everything around it."""
    return dict(
        type="distributed_data_parallel_trainer",
        model=model,
        data_loader=data_loader,
        optimizer=dict(type=torch.optim.SGD, lr=lr, momentum=0.9, weight_decay=weight_decay),
        batch_processor=dict(
            type="MultiBatchProcessor",
            need_grad_update=True,
            clip_grad_norm=35.0,
            grad_accumulation_step=grad_accumulation_step,
        ),
        num_epochs=num_epochs,
        callbacks=[
            dict(type="StatsMonitor", log_freq=50),
            dict(
                type="CosLrUpdater",
                warmup_len=warmup_steps,
                warmup_by="step",
                warmup_begin_lr=lr / 100,
                stop_lr=lr / 1000,
            ),
            *after_epoch(val_data_loader, val_interval),
        ],
        train_metrics=dict(type="LossShow"),
        val_metrics=metric,
    )


def after_epoch(val_data_loader, val_interval=1):
    """Return what follows the last step of an epoch, in this order."""
    return [
        dict(type="Validation", data_loader=val_data_loader, val_interval=val_interval),
        dict(type="Checkpoint", monitor_metric_key="mAP"),
        dict(type="TensorBoard"),
    ]


def quantised_for(march):
    """Return what is quantised how: for `tidl` as TI's toolkit does, where ranges and batch norms move in qat."""
    if march != "tidl":
        return dict(type="QConfig", activation=dict(dtype="int8", observer="mse"))
    return dict(
        type="QConfig",
        activation=dict(dtype="int8", observer="mean_percentile"),
        weight_scales="depthwise",
        bn="train",
        bn_freeze_epoch="half",
        ranges="train",
        range_freeze_epoch="half",
    )


def calibrator(model, val_data_loader, num_steps, metric):
    """Return the calibration over `num_steps` batches of training images as validation sees them."""
    return dict(
        type="Calibrator",
        model=model,
        num_steps=num_steps,
        bias_correction=dict() if march == "tidl" else None,
        callbacks=after_epoch(val_data_loader),
        val_metrics=metric,
    )


def trainers(model):
    """Return the trainers of float, calibration and qat for another `model` on the same data, by the same recipe."""
    return (
        trainer(
            model,
            data_loader,
            val_data_loader,
            lr=lr,
            num_epochs=num_epochs,
            warmup_steps=warmup_steps,
            metric=metric,
            val_interval=val_interval,
        ),
        calibrator(model, val_data_loader, num_steps=20, metric=metric),
        trainer(
            model, qat_data_loader, val_data_loader, lr=qat_lr, num_epochs=qat_epochs, warmup_steps=100, metric=metric
        ),
    )


def example(image_size):
    """Return an image of the size that is deployed; its content does not matter."""
    return dict(img=torch.zeros(1, 3, *image_size))


metric = dict(type="VOCMApMetric", mode="11points", iou_threshold=0.5)
qconfig = quantised_for(march)
float_trainer, calibration_trainer, qat_trainer = trainers(model)
deploy_inputs = example(image_size)
