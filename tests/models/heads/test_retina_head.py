"""RetinaHead: towers shared by all levels."""

import pytest
import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.anchors import AnchorGenerator, CellAnchors
from hatlite.models.heads.retina_head import RetinaHead


def test_outputs_and_what_is_shared():
    head = RetinaHead(3, AnchorGenerator((8, 16)), feat_channels=6, stacked_convs=2, stride2channels={8: 4, 16: 4})
    outputs = head([torch.randn(2, 4, 8, 8), torch.randn(2, 4, 4, 4)])
    assert list(outputs) == list(head.output_strides)
    assert outputs["cls_logits_s8"].shape == (2, 27, 8, 8)
    assert outputs["bbox_regression_s16"].shape == (2, 36, 4, 4)
    assert sum(isinstance(layer, nn.Conv2d) for layer in head.modules()) == 2 * 2 + 2
    assert outputs["cls_logits_s8"].sigmoid().mean().item() == pytest.approx(0.01, rel=0.1)


def test_levels_have_equal_anchors_and_channels():
    with pytest.raises(BuildError, match=r"gives \[1, 2\] anchors per cell; expected one number for all levels"):
        RetinaHead(3, CellAnchors((8, 16), [[(4, 4)], [(8, 8), (4, 8)]]))
    with pytest.raises(BuildError, match="RetinaHead: head.stride2channels is {8: 4, 16: 5}; expected one number"):
        RetinaHead(3, AnchorGenerator((8, 16)), stride2channels={8: 4, 16: 5})
