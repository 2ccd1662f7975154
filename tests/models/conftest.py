"""A small detector and the tutorial's, as configs."""

import pytest


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


@pytest.fixture(name="tutorial_model", scope="session")
def tutorial_model_fixture():
    """The tutorial's model as a dict."""
    return tutorial_model()
