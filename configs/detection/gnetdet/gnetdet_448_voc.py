"""GNetDet for the GTI 5801, 448×448, on data in Pascal VOC's layout, by the four steps of the GNetDet toolkit.

export HATLITE_GNETDET=/path/to/data  # holds VOC0712/Annotations and VOC0712/JPEGImages; default: ./data
config=configs/detection/gnetdet/gnetdet_448_voc.py
python tools/voc_to_meta.py --config $config  # writes meta/VOC0712_{train,valid}.txt there
for stage in float qat calibration qat_activations qat_31 int_infer; do
    python tools/train.py --stage $stage --config $config
done
python tools/calops.py --config $config

No accuracy was measured here with this config, and none is published. tests/integration/test_complexity.py holds the
network against the published table: 16 convolutions, 6,525,278 parameters and 11.57 GMACs.

Network, augmentations and schedule are the published ones, but that the warm-up rises at every step, and so are the
values of the loss. Its gradients are tamed: the IoU that a confidence aims at is a number (published:
--opts model.loss.detach_iou=False), the slope of a square root ends at its value at 0.01 (model.loss.least_root=1e-4),
an output of 0 is pulled up where it should be more (model.head.raise_zeros=False), and the norm of all gradients is
clipped. Of several objects in a cell the largest stays, with its class alone (model.targets.several=last,
model.targets.multi_hot=True). Rates of the later steps are those of the toolkit's examples. It is meant for fine-tuning
a float checkpoint: `pretrained` names one, also one of the toolkit. From random weights --opts batch_norm=True trains
far better; step 2 folds the batch norms into the convolutions.
"""

import os

import torch

task_name = "gnetdet_448_voc"
ckpt_dir = f"./tmp_models/{task_name}"
data_path = os.environ.get("HATLITE_GNETDET", "./data")
ds_name = "VOC0712"  # folder of pictures and annotations below data_path, beginning of the names of the metadata
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
image_size = 448  # or 224
image_format = "BGR"  # or RGB, YUV
letterbox = False  # or True: keep the shape of a picture and fill what is left at the right or below
batch_norm = False
batch_size = 16  # of one process
num_workers = 4
num_epochs = 200
lr = 1e-3
qat_lr = 1e-4  # of step 2
qat_activations_lr = 1e-5  # of step 3
qat_31_lr = 1e-5  # of step 4
momentum = 0.9
weight_decay = 3e-6  # of a penalty on the sum of squares of all parameters; SGD has half the square, hence twice this
step_size = 20  # epochs between two decays of the rate
gamma = 0.75  # factor of each
warmup_epochs = 2
calibration_step = 100
loss_weights = [5.0, 0.005]  # of boxes, and of confidence where there is no object
loss_normaliser = 100.0
loss_normaliser_momentum = 0.9
log_freq = 10
histograms = False  # in TensorBoard, of weights, gradients and activations, with the network as a graph
conf_thresh = 0.48  # this and the next are of what is drawn; a metric wants to see nearly everything
prob_thresh = 0.4
nms_thresh = 0.4
seed = 0
march = "gti5801"
output_gains = "per_channel"  # of the head; "shared" has one range for boxes, confidence and classes, as published
output_bits = 5  # of the head; 10 leaves it alone in the last major layer of the chip, see three_bits()
learn_caps = False  # or True: training with rounded activations moves their ranges too, from where calibration put them
kernel_step = "mean"  # of weights of 3 bits, as published; or "mse", the step of least squared error
shift_hysteresis = False  # or True: a layer keeps its shift until weights leave its range or clearly fit a finer one
stages = [  # steps 1, 2, 2 with --cal, 3 and 4 of the toolkit, and their integers
    dict(name="float", kind="float"),
    dict(name="qat", kind="qat_weights", starts_from=("float",)),
    dict(name="calibration", kind="calibration_weights", starts_from=("qat",)),
    dict(name="qat_activations", kind="qat_activations", starts_from=("calibration",)),
    dict(name="qat_31", kind="qat", starts_from=("qat_activations",), gate=0.90),
    dict(name="int_infer", kind="int_infer", starts_from=("qat_31",)),
]

model = dict(
    type="GNetDet",
    pretrained=pretrained,
    backbone=dict(type="GNet", input_size=image_size, batch_norm=batch_norm),
    head=dict(type="GNetHead", num_classes=num_classes, int16_output=output_bits == 10),
    targets=dict(type="GridTarget", grid_size=14),
    post_process=dict(
        type="GridDecoder",
        conf_thresh=0.01,
        prob_thresh=0.01,
        nms_thresh=nms_thresh,
        class_agnostic=False,
        multi_label=True,
    ),
    loss=dict(
        type="GNetDetLoss",
        loss_weights=loss_weights,
        normaliser=loss_normaliser,
        normaliser_momentum=loss_normaliser_momentum,
    ),
)


def metadata(part):
    """Return the data set of ``train`` or ``valid``."""
    return dict(
        type="GNetMeta",
        meta_file=f"{data_path}/meta/{ds_name}_{part}.txt",
        img_path=f"{data_path}/{ds_name}/JPEGImages",
        classes=classes,
    )


def augmentations():
    """Return the published ones, in their order, each with a probability of one half."""
    return [
        dict(type="RandomFlip", px=0.5, py=0.0),
        dict(type="RandomScale", width=(0.8, 1.2)),
        dict(type="BoxBlur", size=5),
        dict(type="RandomHSVFactors", hue=(0.5, 1.5), saturation=(0.5, 1.5), value=(0.5, 1.5)),
        dict(type="RandomShift", ratio=0.2),
        dict(type="RandomCropByCentre", ratio_range=(0.6, 1.0)),
    ]


def loader(dataset, transforms, *, size, image_format=image_format, **options):
    """Return a loader of `dataset` whose images end as `size` × `size` pixels of 5 bits, 0…31."""
    to_network = [
        dict(type="Resize", img_scale=(size, size), keep_ratio=letterbox),
        dict(type="Pad", size=(size, size)),
        dict(type="ToTensor", image_format=image_format),
        dict(type="QuantizePixels", bits=5),
    ]
    return dict(
        type=torch.utils.data.DataLoader,
        dataset=dict(dataset, transforms=[*transforms, *to_network]),
        num_workers=num_workers,
        collate_fn=dict(type="Collate2D"),
        **options,
    )


data_loader = loader(
    metadata("train"), augmentations(), size=image_size, batch_size=batch_size, shuffle=True, drop_last=True
)
val_data_loader = loader(metadata("valid"), [], size=image_size, batch_size=batch_size)
metric = [dict(type="COCODetectionMetric"), dict(type="VOCMApMetric", mode="area", prefix="VOC_")]


def trainer(model, data_loader, val_data_loader, lr):
    """Return the trainer of one step with everything around it."""
    return dict(
        type="distributed_data_parallel_trainer",
        model=model,
        data_loader=data_loader,
        optimizer=dict(type=torch.optim.SGD, lr=lr, momentum=momentum, weight_decay=2 * weight_decay),
        batch_processor=dict(type="MultiBatchProcessor", need_grad_update=True, clip_grad_norm=35.0),
        num_epochs=num_epochs,
        callbacks=[
            dict(type="StatsMonitor", log_freq=log_freq, parts=True),
            dict(type="StepDecayLrUpdater", lr_decay_every=step_size, lr_decay_factor=gamma, warmup_len=warmup_epochs),
            *after_epoch(val_data_loader),
        ],
        train_metrics=dict(type="LossShow"),
        val_metrics=metric,
    )


def after_epoch(val_data_loader):
    """Return what follows the last step of an epoch, in this order."""
    return [
        dict(type="Validation", data_loader=val_data_loader),
        dict(type="Checkpoint", monitor_metric_key="mAP"),
        dict(type="TensorBoard", histograms=histograms, graph=histograms),
    ]


def calibrator(model, val_data_loader):
    """Return the calibration over images of training as validation sees them."""
    return dict(
        type="Calibrator",
        model=model,
        num_steps=calibration_step,
        callbacks=after_epoch(val_data_loader),
        val_metrics=metric,
    )


def three_bits(image_size, output_bits):
    """Return how many convolutions, from the first on, have weights of 3 bits; those behind them have 8 bits.

    A result of 10 bits stands alone in the last of seven major layers. At 224×224 one is free; at 448×448 it becomes so
    where the two convolutions before the head join those before them, which have maps of the same size and 3 bits.
    """
    if output_bits not in (5, 10):
        raise ValueError(f"output_bits is {output_bits!r}; expected 5 or 10")
    return 15 if (image_size, output_bits) == (448, 10) else 13


def quantisation(image_size, kernel_step, percentile=99.0):
    """Return the qconfig of images of that size."""
    return dict(
        type="QConfig",
        weight=dict(step=kernel_step, shift_hysteresis=shift_hysteresis),
        activation=dict(observer=dict(name="percentile", percentile=percentile), learn=learn_caps),
        rules={f"*conv{index}": dict(weight_dtype="int8") for index in range(three_bits(image_size, output_bits), 16)},
        output_gains=output_gains,
    )


qconfig = quantisation(image_size, kernel_step)
float_trainer = trainer(model, data_loader, val_data_loader, lr)
qat_trainer = trainer(model, data_loader, val_data_loader, qat_lr)
calibration_trainer = calibrator(model, val_data_loader)
qat_activations_trainer = trainer(model, data_loader, val_data_loader, qat_activations_lr)
qat_31_trainer = trainer(model, data_loader, val_data_loader, qat_31_lr)
deploy_inputs = dict(img=torch.zeros(1, 3, image_size, image_size))
