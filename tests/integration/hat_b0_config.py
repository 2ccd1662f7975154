"""FCOS-EfficientNet-b0 as users of HAT write their configs: every dict spelled out, functions beside dicts."""

import copy
import os

import torch

VERSION = "v2"
training_step = os.environ.get("HAT_TRAINING_STEP", "float")
task_name = "fcos_efficientnetb0_mscoco"
num_classes = 80
batch_size_per_gpu = 24
device_ids = [0]
data_path = "./tmp_data/mscoco"
ckpt_dir = f"./tmp_models/{task_name}"
cudnn_benchmark = True
seed = None
log_rank_zero_only = True
bn_kwargs = {}
march = "bayes-sim"
convert_mode = "fx"
image_size = (512, 512)

strides = [8, 16, 32, 64, 128]
val_transforms = [
    dict(type="Resize", img_scale=image_size, keep_ratio=True),
    dict(type="Pad", size=image_size),
    dict(type="ToTensor", to_yuv=True, use_yuv_v2=False),
    dict(type="Normalize", mean=128.0, std=128.0),
]

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
        stride2channels=dict({2: 16, 4: 24, 8: 40, 16: 112, 32: 320}),
        out_channels=64,
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
        stride2channels=dict({8: 64, 16: 64, 32: 64, 64: 64, 128: 64}),
        upscale_bbox_pred=False,
        feat_channels=64,
        stacked_convs=4,
        int8_output=False,
        int16_output=True,
        dequant_output=True,
    ),
    targets=dict(
        type="DynamicFcosTarget",
        strides=strides,
        cls_out_channels=num_classes,
        background_label=num_classes,
        topK=10,
        loss_cls=dict(
            type="FocalLoss",
            loss_name="cls",
            num_classes=num_classes + 1,
            alpha=0.25,
            gamma=2.0,
            loss_weight=1.0,
            reduction="none",
        ),
        loss_reg=dict(type="GIoULoss", loss_name="reg", loss_weight=2.0, reduction="none"),
    ),
    post_process=dict(
        type="FCOSDecoder",
        num_classes=num_classes,
        strides=strides,
        nms_use_centerness=True,
        nms_sqrt=True,
        rescale=True,
        upscale_bbox_pred=True,
        test_cfg=dict(score_thr=0.05, nms_pre=1000, nms=dict(name="nms", iou_threshold=0.6, max_per_img=100)),
    ),
    loss_cls=dict(
        type="FocalLoss", loss_name="cls", num_classes=num_classes + 1, alpha=0.25, gamma=2.0, loss_weight=1.0
    ),
    loss_centerness=dict(type="CrossEntropyLossV2", loss_name="centerness", use_sigmoid=True),
    loss_reg=dict(type="GIoULoss", loss_name="reg", loss_weight=1.0),
)
deploy_model = dict(
    type="FCOS",
    backbone=model["backbone"],
    neck=model["neck"],
    head=dict(model["head"], dequant_output=False),
)
deploy_inputs = dict(img=torch.zeros((1, 3, *image_size)))

data_loader = dict(
    type=torch.utils.data.DataLoader,
    dataset=dict(
        type="CocoFromLMDB",
        data_path=f"{data_path}/train_lmdb/",
        transforms=[
            dict(type="Resize", img_scale=image_size, ratio_range=(0.5, 2.0), keep_ratio=True),
            dict(type="RandomCrop", size=image_size),
            dict(type="Pad", size=image_size),
            dict(type="RandomFlip", px=0.5, py=0),
            dict(type="AugmentHSV", hgain=0.015, sgain=0.7, vgain=0.4),
            dict(type="ToTensor", to_yuv=True, use_yuv_v2=False),
            dict(type="Normalize", mean=128.0, std=128.0),
        ],
    ),
    sampler=dict(type=torch.utils.data.DistributedSampler),
    batch_size=batch_size_per_gpu,
    shuffle=False,
    num_workers=4,
    pin_memory=True,
    collate_fn=dict(type="Collate2D"),
)
qat_data_loader = copy.deepcopy(data_loader)
qat_data_loader["dataset"]["transforms"].pop(4)
val_data_loader = dict(
    type=torch.utils.data.DataLoader,
    dataset=dict(type="CocoFromLMDB", data_path=f"{data_path}/val_lmdb/", transforms=val_transforms),
    sampler=dict(type=torch.utils.data.DistributedSampler),
    batch_size=batch_size_per_gpu,
    shuffle=False,
    num_workers=4,
    pin_memory=True,
    collate_fn=dict(type="Collate2D"),
)
calibration_data_loader = copy.deepcopy(data_loader)
calibration_data_loader.pop("sampler")
calibration_data_loader["batch_size"] = batch_size_per_gpu * 4
calibration_data_loader["dataset"]["transforms"] = val_transforms
calibration_step = 100
int_infer_data_loader = copy.deepcopy(val_data_loader)
int_infer_data_loader["batch_size"] = 1


def loss_collector(outputs):
    return list(outputs.values())


def update_loss(metrics, batch, model_outs):
    for metric in metrics:
        metric.update(model_outs)


def update_metric(metrics, batch, model_outs):
    for metric in metrics:
        metric.update(model_outs)


batch_processor = dict(type="MultiBatchProcessor", need_grad_update=True, loss_collector=loss_collector)
val_batch_processor = dict(type="MultiBatchProcessor", need_grad_update=False)

stat_callback = dict(type="StatsMonitor", log_freq=500)
loss_show_update = dict(
    type="MetricUpdater", metric_update_func=update_loss, step_log_freq=1, epoch_log_freq=1, log_prefix="loss_"
)
val_metric_updater = dict(
    type="MetricUpdater",
    metric_update_func=update_metric,
    step_log_freq=10000,
    epoch_log_freq=1,
    log_prefix="Validation ",
)
ckpt_callback = dict(
    type="Checkpoint",
    save_dir=ckpt_dir,
    name_prefix=training_step + "-",
    save_interval=1,
    strict_match=True,
    mode="max",
    monitor_metric_key="mAP",
    save_hash=True,
)
trace_callback = dict(type="SaveTraced", save_dir=ckpt_dir, trace_inputs=deploy_inputs)
val_callback = dict(
    type="Validation",
    data_loader=val_data_loader,
    batch_processor=val_batch_processor,
    callbacks=[val_metric_updater],
    val_model=None,
    init_with_train_model=False,
    val_interval=1,
    val_on_train_end=True,
)
val_metrics = dict(
    type="COCODetectionMetric",
    ann_file=f"{data_path}/annotations/instances_val2017.json",
    val_interval=1,
    save_prefix="./WORKSPACE/results",
    cleanup=True,
)

float_file, calibration_file, qat_file = (
    os.path.join(ckpt_dir, f"{stage}-checkpoint-best.pth.tar") for stage in ("float", "calibration", "qat")
)

float_trainer = dict(
    type="distributed_data_parallel_trainer",
    model=model,
    data_loader=data_loader,
    optimizer=dict(
        type=torch.optim.SGD, params={"weight": dict(weight_decay=4e-5)}, lr=0.14, momentum=0.937, nesterov=True
    ),
    batch_processor=batch_processor,
    num_epochs=300,
    device=None,
    callbacks=[
        stat_callback,
        loss_show_update,
        dict(type="ExponentialMovingAverage", decay=0.9999),
        dict(
            type="CosLrUpdater",
            warmup_len=2,
            warmup_by="epoch",
            warmup_mode="linear",
            warmup_begin_lr=0.0,
            step_log_interval=1,
        ),
        val_callback,
        ckpt_callback,
        trace_callback,
    ],
    train_metrics=dict(type="LossShow"),
    sync_bn=True,
    val_metrics=val_metrics,
)
calibration_trainer = dict(
    type="Calibrator",
    model=model,
    data_loader=calibration_data_loader,
    batch_processor=val_batch_processor,
    num_steps=calibration_step,
    device=None,
    callbacks=[stat_callback, val_callback, ckpt_callback],
    val_metrics=val_metrics,
    model_convert_pipeline=dict(
        type="ModelConvertPipeline",
        qat_mode="fuse_bn",
        qconfig_params=dict(activation_calibration_observer="mse", weight_calibration_observer="min_max"),
        converters=[
            dict(type="LoadCheckpoint", checkpoint_path=float_file, allow_miss=False, ignore_extra=False),
            dict(type="Float2Calibration", convert_mode=convert_mode),
        ],
    ),
)
qat_trainer = dict(
    type="distributed_data_parallel_trainer",
    model=model,
    data_loader=qat_data_loader,
    optimizer=dict(type=torch.optim.SGD, params={"weight": dict(weight_decay=4e-5)}, lr=1e-4, momentum=0.9),
    batch_processor=batch_processor,
    num_epochs=10,
    device=None,
    callbacks=[
        stat_callback,
        loss_show_update,
        dict(type="FreezeBNStatistics"),
        dict(type="StepDecayLrUpdater", lr_decay_id=[5], step_log_interval=500),
        val_callback,
        ckpt_callback,
    ],
    train_metrics=dict(type="LossShow"),
    val_metrics=val_metrics,
    model_convert_pipeline=dict(
        type="ModelConvertPipeline",
        qat_mode="fuse_bn",
        qconfig_params=dict(
            activation_qat_qkwargs=dict(averaging_constant=0), weight_qat_qkwargs=dict(averaging_constant=1)
        ),
        converters=[
            dict(type="Float2QAT", convert_mode=convert_mode),
            dict(type="LoadCheckpoint", checkpoint_path=calibration_file, verbose=True),
        ],
    ),
)
deploy_model_convert_pipeline = dict(
    type="ModelConvertPipeline",
    qat_mode="fuse_bn",
    converters=[
        dict(type="Float2QAT", convert_mode=convert_mode),
        dict(type="LoadCheckpoint", checkpoint_path=qat_file),
        dict(type="QAT2Quantize", convert_mode=convert_mode),
    ],
)
int_infer_trainer = dict(
    type="Trainer",
    model=deploy_model,
    model_convert_pipeline=deploy_model_convert_pipeline,
    data_loader=None,
    optimizer=None,
    batch_processor=None,
    num_epochs=0,
    device=None,
    callbacks=[ckpt_callback, trace_callback],
)
float_predictor = dict(
    type="Predictor",
    model=model,
    data_loader=val_data_loader,
    batch_processor=val_batch_processor,
    device=None,
    metrics=val_metrics,
    callbacks=[val_metric_updater],
)
calibration_predictor = copy.deepcopy(float_predictor)
qat_predictor = copy.deepcopy(float_predictor)
hbir_infer_model = dict(
    type="FCOSIrInfer",
    ir_model=dict(type="HbirModule", model_path=os.path.join(ckpt_dir, f"{task_name}.hbir")),
    post_process=copy.deepcopy(model["post_process"]),
)
int_infer_predictor = dict(
    type="Predictor",
    model=hbir_infer_model,
    data_loader=[int_infer_data_loader],
    batch_processor=val_batch_processor,
    device=None,
    metrics=[val_metrics],
    callbacks=[val_metric_updater],
    log_interval=50,
)
compile_cfg = dict(
    march=march,
    name=task_name + "_model",
    out_dir=os.path.join(ckpt_dir, "compile"),
    hbm=os.path.join(ckpt_dir, "compile", "model.hbm"),
    layer_details=True,
    input_source=["pyramid"],
    opt="O2",
)
calops_cfg = dict(method="hook", input_shape=(1, 3, *image_size))
