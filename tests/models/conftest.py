"""A small detector and the tutorial's, as configs."""

import pytest
import torch

import hatlite.models  # noqa: F401 registers what the configs here name


def batch_of(boxes, classes, size=64):
    """Return random images of size × size with the given boxes and classes, one list of each per image."""
    count = len(boxes)
    return {
        "img": torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0)),
        "gt_bboxes": [torch.tensor(b, dtype=torch.float32).reshape(-1, 4) for b in boxes],
        "gt_classes": [torch.tensor(c, dtype=torch.int64) for c in classes],
        "matrix": [torch.eye(3, dtype=torch.float64)] * count,
        "orig_size": [(size, size)] * count,
    }


def small_model(num_classes=3, **changes):
    """Return a config that builds in milliseconds; `changes` replace whole parts."""
    cfg = {
        "type": "FCOS",
        "backbone": {"type": "efficientnet", "widths": [8, 8, 8, 16, 16, 16, 16, 16], "depth_coefficient": 0.3},
        "neck": {"type": "BiFPN", "out_channels": 16, "stack": 1, "out_strides": [8, 16, 32]},
        "head": {
            "type": "FCOSHead",
            "num_classes": num_classes,
            "in_strides": [8, 16, 32],
            "feat_channels": 16,
            "stacked_convs": 1,
            "upscale_bbox_pred": True,
        },
        "targets": {"type": "DynamicFcosTarget"},
        "post_process": {"type": "FCOSDecoder"},
        "loss_cls": {"type": "FocalLoss"},
        "loss_centerness": {"type": "CrossEntropyLossV2", "use_sigmoid": True},
        "loss_reg": {"type": "GIoULoss"},
    }
    return {**cfg, **changes}


def small_ssd(num_classes=3, conv_type="plain", **changes):
    """Return an SSD for images of 64×64 as a config that builds in milliseconds; `changes` replace whole parts."""
    anchors = {"type": "SSDAnchorGenerator", "input_size": 64, "strides": [8, 16, 32], "ratios": [[2], [2, 3], [2]]}
    cfg = {
        "type": "SSD",
        "backbone": {"type": "efficientnet", "widths": [8, 8, 8, 16, 16, 16, 16, 16], "depth_coefficient": 0.3},
        "neck": {"type": "FPN", "out_channels": 16, "out_strides": [8, 16, 32], "conv_type": conv_type},
        "head": {"type": "SSDHead", "num_classes": num_classes, "anchor_generator": anchors, "conv_type": conv_type},
        "targets": {"type": "MaxIoUAssigner", "gt_max_assign_all": False},
        "post_process": {"type": "SSDDecoder"},
        "loss_cls": {"type": "CrossEntropyLossV2", "loss_name": "cls"},
        "loss_reg": {"type": "SmoothL1Loss"},
    }
    return {**cfg, **changes}


def small_retinanet(num_classes=3, **changes):
    """Return a RetinaNet as a config that builds in milliseconds; `changes` replace whole parts."""
    anchors = {"type": "AnchorGenerator", "strides": [8, 16, 32], "octave_base_scale": 2.0, "scales_per_octave": 2}
    head = {"type": "RetinaHead", "num_classes": num_classes, "anchor_generator": anchors}
    cfg = {
        **small_ssd(num_classes),
        "type": "RetinaNet",
        "neck": {"type": "FPN", "out_channels": 16, "out_strides": [8, 16, 32], "norm": False},
        "head": {**head, "feat_channels": 16, "stacked_convs": 1},
        "targets": {"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.4},
        "post_process": {"type": "RetinaDecoder"},
        "loss_cls": {"type": "FocalLoss"},
    }
    return {**cfg, **changes}


def small_gnetdet(num_classes=3, **changes):
    """Return a GNetDet for images of 56×56 as a config that builds in milliseconds; `changes` replace whole parts."""
    cfg = {
        "type": "GNetDet",
        "backbone": {"type": "GNet", "input_size": 56, "widths": [[8], [8], [16, 16]]},
        "head": {"type": "GNetHead", "num_classes": num_classes},
        "targets": {"type": "GridTarget"},
        "post_process": {"type": "GridDecoder"},
        "loss": {"type": "GNetDetLoss"},
    }
    return {**cfg, **changes}


def tutorial_model(num_classes=80, bn_kwargs=None):
    """Return the model of the HAT tutorial as it is printed there."""
    bn_kwargs = bn_kwargs or {}
    # fmt: off
    model = dict( type="FCOS", backbone=dict( type="efficientnet", bn_kwargs=bn_kwargs, model_type='b0', num_classes=1000, include_top=False, activation='relu', use_se_block= False, ), neck=dict( type="BiFPN", in_strides=[2, 4,8, 16, 32], out_strides=[8, 16, 32, 64, 128], stride2channels=dict({2:16, 4: 24, 8:40, 16:112, 32:320}), out_channels=64, num_outs=5, stack=3, start_level=2, end_level=-1, fpn_name="bifpn_sum" ), head=dict( type="FCOSHead", num_classes=num_classes, in_strides=[8, 16, 32, 64, 128], out_strides=[8, 16, 32, 64, 128], stride2channels = dict({8:64, 16:64, 32:64, 64:64, 128:64}), upscale_bbox_pred=True, feat_channels=64, stacked_convs=4, int8_output=False, int16_output=True, dequant_output=True ), targets=dict( type="DynamicFcosTarget", strides=[8, 16, 32, 64, 128], cls_out_channels=80, background_label=80, topK=10, loss_cls=dict( type="FocalLoss", loss_name="cls", num_classes=80 + 1, alpha=0.25, gamma=2.0, loss_weight=1.0, reduction="none" ), loss_reg=dict( type="GIoULoss", loss_name="reg", loss_weight=2.0, reduction="none" ), ), post_process=dict(type="FCOSDecoder", num_classes=80, strides=[8, 16, 32, 64, 128], nms_use_centerness=True, nms_sqrt=True, rescale=True, test_cfg =dict(score_thr=0.05, nms_pre=1000, nms=dict(name = 'nms', iou_threshold=0.6, max_per_img=100) ) ), loss_cls=dict( type="FocalLoss", loss_name="cls", num_classes=80 + 1, alpha=0.25, gamma=2.0, loss_weight=1.0, ), loss_centerness=dict( type="CrossEntropyLossV2", loss_name="centerness", use_sigmoid=True ), loss_reg=dict( type="GIoULoss", loss_name="reg", loss_weight=1.0, ) )  # noqa: E501
    # fmt: on
    return model


@pytest.fixture(name="small_model")
def small_model_fixture():
    """The function :func:`small_model`."""
    return small_model


@pytest.fixture(name="small_ssd")
def small_ssd_fixture():
    """The function :func:`small_ssd`."""
    return small_ssd


@pytest.fixture(name="small_retinanet")
def small_retinanet_fixture():
    """The function :func:`small_retinanet`."""
    return small_retinanet


@pytest.fixture(name="small_gnetdet")
def small_gnetdet_fixture():
    """The function :func:`small_gnetdet`."""
    return small_gnetdet


@pytest.fixture(name="batch_of")
def batch_of_fixture():
    """The function :func:`batch_of`."""
    return batch_of


@pytest.fixture(name="tutorial_model", scope="session")
def tutorial_model_fixture():
    """The tutorial's model as a dict."""
    return tutorial_model()
