"""FCOS, EfficientNet-b0 and BiFPN on MS COCO at 512×512: the run of HAT's FCOS tutorial.

COCO's train2017.zip, val2017.zip and annotations_trainval2017.zip are expected, unpacked, in tmp_data/mscoco.

python tools/datasets/mscoco_packer.py --src-data-dir tmp_data/mscoco --target-data-dir tmp_data/mscoco \
    --split-name train --pack-type lmdb
python tools/datasets/mscoco_packer.py --src-data-dir tmp_data/mscoco --target-data-dir tmp_data/mscoco \
    --split-name val --pack-type lmdb
python tools/calops.py --config configs/detection/fcos/fcos_efficientnetb0_mscoco.py --input-shape "1,3,1024,1024"
python tools/model_checker.py --config configs/detection/fcos/fcos_efficientnetb0_mscoco.py
python tools/train.py --stage float --config configs/detection/fcos/fcos_efficientnetb0_mscoco.py
python tools/train.py --stage calibration --config configs/detection/fcos/fcos_efficientnetb0_mscoco.py
python tools/train.py --stage qat --config configs/detection/fcos/fcos_efficientnetb0_mscoco.py
python tools/train.py --stage int_infer --config configs/detection/fcos/fcos_efficientnetb0_mscoco.py
python tools/predict.py --stage int_infer --config configs/detection/fcos/fcos_efficientnetb0_mscoco.py
python tools/validation_hbir.py --stage align_bpu --config configs/detection/fcos/fcos_efficientnetb0_mscoco.py
python tools/compile_perf.py --config configs/detection/fcos/fcos_efficientnetb0_mscoco.py --out-dir ./ --opt 3

Not trained by us: COCO could not be had where this was written, so there is no accuracy of hatlite to show. The system
that the recipe follows publishes, of its own training and for its own chip (Journey 5): mAP 36.26 float, 35.79 qat,
35.59 int8, and 1.35 ms.

Counted by tools/calops.py at 512×512: 2.51 GMACs of convolutions, 2.62 by mmcv's rule, 3.24 M parameters.
Simulated by tools/compile_perf.py with random weights, every value through DRAM: 6.625 ms on bayes-sim (2026-11-21).
"""

import os

import torch

VERSION = "v2"
training_step = os.environ.get("HAT_TRAINING_STEP", "float")  # tools/train.py and predict.py set it to their --stage
task_name = "fcos_efficientnetb0_mscoco"
ckpt_dir = f"./tmp_models/{task_name}"
data_path = "./tmp_data/mscoco"
march = "bayes-sim"
seed = 0

num_classes = 80
image_size = (512, 512)  # (height, width); five levels need multiples of 128
batch_size_per_gpu = 24
num_workers = 4
num_epochs = 300
qat_epochs = 10
calibration_step = 100
lr = 0.14  # for the 8 · 24 images of the published run; fewer images in a step want a smaller rate
qat_lr = 0.001  # the tutorial's config; its text says a tenth of the float rate
bn_kwargs = {}

strides = [8, 16, 32, 64, 128]
channels = 64

model = dict(
    type="FCOS",
    backbone=dict(
        type="efficientnet",
        bn_kwargs=bn_kwargs,
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


def example(image_size):
    """Return an image of the size that is deployed; its content does not matter."""
    return dict(img=torch.zeros(1, 3, *image_size))


def loader(dataset, transforms, **options):
    """Return a loader of `dataset` whose images end as centred YUV in −1…1."""
    to_network = [dict(type="ToTensor", to_yuv=True), dict(type="Normalize", mean=128.0, std=128.0)]
    return dict(
        type=torch.utils.data.DataLoader,
        dataset=dict(dataset, transforms=[*transforms, *to_network]),
        num_workers=num_workers,
        pin_memory=True,
        collate_fn=dict(type="Collate2D"),
        **options,
    )


def train_loader(transforms, batch_size):
    """Return a loader of train2017, shared out among processes."""
    sampler = dict(type=torch.utils.data.DistributedSampler)
    return loader(
        dict(type="Coco", data_path=f"{data_path}/train_lmdb"), transforms, batch_size=batch_size, sampler=sampler
    )


def val_loader(image_size, batch_size):
    """Return a loader of val2017."""
    return loader(dict(type="Coco", data_path=f"{data_path}/val_lmdb"), whole(image_size), batch_size=batch_size)


def camera_loader(image_size):
    """Return a loader of val2017 that starts from the files as a camera would deliver them."""
    files = dict(img_path=f"{data_path}/val2017", ann_file=f"{data_path}/annotations/instances_val2017.json")
    return loader(dict(type="CocoFromImage", **files), whole(image_size), batch_size=1)


def whole(image_size):
    """Return the transforms of a picture that is seen whole."""
    return [dict(type="Resize", img_scale=image_size, keep_ratio=True), dict(type="Pad", size=image_size)]


def zoomed(image_size):
    """Return the transforms of a picture that is seen at half to twice its size."""
    return [
        dict(type="Resize", img_scale=image_size, ratio_range=(0.5, 2.0), keep_ratio=True),
        dict(type="RandomCrop", size=image_size),
        dict(type="Pad", size=image_size),
        dict(type="RandomFlip", px=0.5, py=0),
    ]


colored = dict(type="AugmentHSV", hgain=0.015, sgain=0.7, vgain=0.4)
data_loader = train_loader([*zoomed(image_size), colored], batch_size_per_gpu)
qat_data_loader = train_loader(zoomed(image_size), batch_size_per_gpu)
val_data_loader = val_loader(image_size, batch_size_per_gpu)
align_bpu_data_loader = camera_loader(image_size)

batch_processor = dict(type="MultiBatchProcessor", need_grad_update=True)
stat_callback = dict(type="StatsMonitor", log_freq=50)
loss_show_update = dict(type="MetricUpdater", step_log_freq=500, epoch_log_freq=1, log_prefix=f"{training_step} ")
ckpt_callback = dict(type="Checkpoint", save_interval=1, mode="max", monitor_metric_key="mAP")
val_metrics = dict(type="COCODetectionMetric", ann_file=f"{data_path}/annotations/instances_val2017.json")


def convert(*converters, **settings):
    """Return the pipeline that makes a model ready for its stage; LoadCheckpoint takes what the stage starts from."""
    steps = [dict(type=converter) for converter in converters]
    return dict(type="ModelConvertPipeline", qat_mode="fuse_bn", converters=steps, **settings)


def trainer(model, data_loader, val_data_loader, *, optimizer, num_epochs, callbacks, **options):
    """Return a trainer that validates and saves after every epoch."""
    val_callback = dict(type="Validation", data_loader=val_data_loader, val_interval=1)
    return dict(
        type="distributed_data_parallel_trainer",
        model=model,
        data_loader=data_loader,
        optimizer=dict(type=torch.optim.SGD, params={"weight": dict(weight_decay=4e-5)}, **optimizer),
        batch_processor=batch_processor,
        num_epochs=num_epochs,
        device=None,
        callbacks=[stat_callback, loss_show_update, *callbacks, val_callback, ckpt_callback],
        train_metrics=dict(type="LossShow"),
        val_metrics=val_metrics,
        **options,
    )


def trainers(model, data_loader, qat_data_loader, val_data_loader, lr):
    """Return the trainers of float, calibration and qat."""
    return (
        trainer(
            model,
            data_loader,
            val_data_loader,
            optimizer=dict(lr=lr, momentum=0.937, nesterov=True),
            num_epochs=num_epochs,
            callbacks=[
                dict(type="ExponentialMovingAverage"),
                dict(type="CosLrUpdater", warmup_len=2, warmup_by="epoch", step_log_interval=500),
            ],
            sync_bn=True,
        ),
        dict(
            type="Calibrator",
            model=model,
            num_steps=calibration_step,
            callbacks=[stat_callback, dict(type="Validation", data_loader=val_data_loader), ckpt_callback],
            val_metrics=val_metrics,
            model_convert_pipeline=convert(
                "LoadCheckpoint", "Float2Calibration", qconfig_params=dict(activation_calibration_observer="mse")
            ),
        ),
        trainer(
            model,
            qat_data_loader,
            val_data_loader,
            optimizer=dict(lr=qat_lr, momentum=0.9),
            num_epochs=qat_epochs,
            callbacks=[dict(type="StepDecayLrUpdater", lr_decay_id=[4], step_log_interval=500)],
            model_convert_pipeline=convert("Float2QAT", "LoadCheckpoint"),
        ),
    )


float_trainer, calibration_trainer, qat_trainer = trainers(model, data_loader, qat_data_loader, val_data_loader, lr)

# deploy_model, predictors, calibration_data_loader and hbir_infer_model follow from what stands above.
deploy_inputs = example(image_size)
calops_cfg = dict(method="hook", input_shape=(1, 3, *image_size))
compile_cfg = dict(march=march, name=task_name, out_dir=ckpt_dir, input_source=["pyramid"], opt="O3")
infer_cfg = dict(viz_func=dict(type="DetViz", score_threshold=0.3))
