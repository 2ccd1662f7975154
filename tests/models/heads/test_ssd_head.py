"""SSDHead: two branches per level, nothing shared."""

import pytest
import torch
from torch import nn

from hatlite.models.anchors import CellAnchors
from hatlite.models.heads.ssd_head import SSDHead

ANCHORS = CellAnchors((8, 16), [[(4, 4)], [(8, 8), (4, 8)]])


def head_of(**options):
    return SSDHead(3, ANCHORS, stride2channels={8: 16, 16: 32}, **options)


def features():
    return [torch.randn(2, 16, 8, 8), torch.randn(2, 32, 4, 4)]


@pytest.mark.parametrize("conv_type", ["plain", "depthwise", "grouped"])
def test_outputs_by_name(conv_type):
    head = head_of(conv_type=conv_type)
    outputs = head(features())
    assert {name: tuple(x.shape) for name, x in outputs.items()} == {
        "cls_logits_s8": (2, 4, 8, 8),
        "bbox_regression_s8": (2, 4, 8, 8),
        "cls_logits_s16": (2, 8, 4, 4),
        "bbox_regression_s16": (2, 8, 4, 4),
    }
    assert list(outputs) == list(head.output_strides)
    convs = [layer for layer in head.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convs) == (4 if conv_type == "plain" else 8)
    predictors = [branch.conv for branch in (*head.cls_logits, *head.bbox_regression)]
    assert all(conv.bias is not None and not conv.bias.any() for conv in predictors)


def test_classes_begin_nearly_equal():
    head = head_of().eval()
    probability = head(features())["cls_logits_s8"].reshape(2, 1, 4, 8, 8).softmax(dim=2)
    assert (probability - 0.25).abs().max() < 0.15
