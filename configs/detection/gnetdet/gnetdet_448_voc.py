"""GNetDet for the GTI 5801, 448×448, on Pascal VOC 2007 and 2012, by the recipe of the GNetDet toolkit.

export HATLITE_VOC=/path/to/VOCdevkit  # with VOC2007 and VOC2012: trained on both trainval, evaluated on test of 2007
python tools/train.py --stage float --config configs/detection/gnetdet/gnetdet_448_voc.py
python tools/calops.py --config configs/detection/gnetdet/gnetdet_448_voc.py

No accuracy was measured here with this config, and none is published. tests/integration/test_complexity.py holds the
network against the published table: 16 convolutions, 6,525,278 parameters and 11.57 GMACs.

The toolkit is meant for fine-tuning a float checkpoint; `pretrained` names one. From random weights
--opts batch_norm=True trains far better; the batch norms are folded into the convolutions before those are quantised.
"""

import os

import torch

task_name = "gnetdet_448_voc"
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
image_size = 448  # or 224
image_format = "BGR"  # or RGB, YUV
batch_norm = False
batch_size = 16  # of one process
num_workers = 4
num_epochs = 200
lr = 1e-3
momentum = 0.9
weight_decay = 3e-6  # of a penalty on the sum of squares of all parameters; SGD has half the square, hence twice this
step_size = 20  # epochs between two decays of the rate
gamma = 0.75  # factor of each
warmup_epochs = 2
loss_weights = [5.0, 0.005]  # of boxes, and of confidence where there is no object
loss_normaliser = 100.0
loss_normaliser_momentum = 0.9
log_freq = 10
conf_thresh, prob_thresh, nms_thresh = 0.48, 0.4, 0.4  # of what is drawn; a metric wants to see nearly everything
seed = 0
march = "bayes-sim"
stages = [dict(name="float", kind="float")]

model = dict(
    type="GNetDet",
    pretrained=pretrained,
    backbone=dict(type="GNet", input_size=image_size, batch_norm=batch_norm),
    head=dict(type="GNetHead", num_classes=num_classes),
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


def voc(year, split):
    """Return one year's data set; difficult objects stay, as regions in which nothing is learned or counted."""
    return dict(type="VOCFromImage", data_path=f"{data_path}/VOC{year}", split=split, classes=classes)


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


def loader(dataset, transforms, *, size, **options):
    """Return a loader of `dataset` whose images end as `size` × `size` pixels of 5 bits, 0…31."""
    to_network = [
        dict(type="Resize", img_scale=(size, size), keep_ratio=False),
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
    dict(type="ConcatDataset", datasets=[voc(2007, "trainval"), voc(2012, "trainval")]),
    augmentations(),
    size=image_size,
    batch_size=batch_size,
    shuffle=True,
    drop_last=True,
)
val_data_loader = loader(voc(2007, "test"), [], size=image_size, batch_size=batch_size)
metric = dict(type="VOCMApMetric", mode="area", iou_threshold=0.5)


def trainer(model, data_loader, val_data_loader, *, metric, lr, num_epochs, step_size, gamma, warmup_epochs):
    """Return a trainer with everything around it."""
    return dict(
        type="distributed_data_parallel_trainer",
        model=model,
        data_loader=data_loader,
        optimizer=dict(type=torch.optim.SGD, lr=lr, momentum=momentum, weight_decay=2 * weight_decay),
        batch_processor=dict(type="MultiBatchProcessor", need_grad_update=True, clip_grad_norm=35.0),
        num_epochs=num_epochs,
        callbacks=[
            dict(type="StatsMonitor", log_freq=log_freq),
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
        dict(type="TensorBoard"),
    ]


float_trainer = trainer(
    model,
    data_loader,
    val_data_loader,
    metric=metric,
    lr=lr,
    num_epochs=num_epochs,
    step_size=step_size,
    gamma=gamma,
    warmup_epochs=warmup_epochs,
)
deploy_inputs = dict(img=torch.zeros(1, 3, image_size, image_size))
