"""FCOSHead: names, shapes, what is shared, and what it refuses."""

import pytest
import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.heads.fcos_head import FCOSHead

STRIDES = (8, 16)


def head_of(**options):
    options = {"in_strides": STRIDES, "stride2channels": dict.fromkeys(STRIDES, 6), "feat_channels": 4, **options}
    return FCOSHead(3, **{"stacked_convs": 2, **options})


def features_of(channels=6):
    return [torch.randn(2, channels, 8 * 8 // s, 8 * 8 // s) for s in STRIDES]


def test_outputs_by_name():
    head = head_of()
    outputs = head(features_of())
    assert list(outputs) == list(head.output_strides)
    assert head.output_strides["centerness_s16"] == 16
    assert outputs["cls_logits_s8"].shape == (2, 3, 8, 8)
    assert outputs["bbox_regression_s16"].shape == (2, 4, 4, 4)
    assert outputs["centerness_s8"].shape == (2, 1, 8, 8)
    assert all((x >= 0).all() for name, x in outputs.items() if name.startswith("bbox"))


def test_convolutions_are_shared_and_norms_are_not():
    head = head_of()
    kinds = [type(m).__name__ for m in head.modules()]
    assert kinds.count("Conv2d") == 2 * 2 * 2 + 3
    assert kinds.count("BatchNorm2d") == 2 * 2 * len(STRIDES)
    assert [type(m).__name__ for m in head_of(share_bn=True).modules()].count("BatchNorm2d") == 2 * 2
    before = [bn.running_mean.clone() for bn in head.cls_tower[0].bns]
    head(features_of())
    after = [bn.running_mean for bn in head.cls_tower[0].bns]
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not torch.equal(*after)


def test_shared_norm_sees_every_level():
    head = head_of(share_bn=True)
    head(features_of())
    assert head.cls_tower[0].bns[0].num_batches_tracked == len(STRIDES)


def test_first_answers():
    head = head_of().eval()
    outputs = head([x * 0 for x in features_of()])
    assert outputs["cls_logits_s8"].sigmoid().mean().item() == pytest.approx(0.01, rel=0.1)
    assert outputs["bbox_regression_s8"].mean().item() == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize(
    ("options", "dtype"), [({}, "int32"), ({"int8_output": True}, "int8"), ({"int16_output": True}, "int16")]
)
def test_dtype_of_outputs(options, dtype):
    assert head_of(**options).dequant.dtype == dtype


def test_some_of_the_strides():
    head = head_of(out_strides=(16,))
    assert list(head(features_of())) == ["cls_logits_s16", "bbox_regression_s16", "centerness_s16"]
    assert isinstance(head.cls_tower[0].bns, nn.ModuleList)
    assert len(head.cls_tower[0].bns) == 1


def test_channels_come_from_the_neck():
    head = head_of(stride2channels=None)
    head.bind({8: 6, 16: 6})
    assert head(features_of())["cls_logits_s8"].shape == (2, 3, 8, 8)
    with pytest.raises(BuildError, match=r"head.stride2channels is \{8: 6, 16: 6\}, but the neck's channels is \{8: 5"):
        head_of().bind({8: 5, 16: 5})
    with pytest.raises(BuildError, match=r"head.in_strides is \[8, 16\], but neck.out_strides is \[8, 16, 32\]"):
        head_of().bind({8: 6, 16: 6, 32: 6})


def test_refuses_what_does_not_fit():
    with pytest.raises(BuildError, match=r"expected one number of channels, the same for all strides \[8, 16\]"):
        head_of(stride2channels={8: 6, 16: 7})
    with pytest.raises(BuildError, match=r"out_strides \[64\] must be some of head.in_strides \[8, 16\]"):
        head_of(out_strides=(64,))
    with pytest.raises(BuildError, match="int8_output and int16_output are both True"):
        head_of(int8_output=True, int16_output=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("nhwc_output", True), ("share_conv", False), ("bbox_relu", False)],
)
def test_options_with_one_value(name, value):
    with pytest.raises(BuildError, match=f"{name}={value} is not supported; set head.{name}={not value} or leave"):
        head_of(**{name: value})
