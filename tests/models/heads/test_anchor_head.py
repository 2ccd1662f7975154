"""AnchorHead: strides and logits follow from anchors and classes."""

import pytest

from hatlite.errors import BuildError
from hatlite.models.anchors import CellAnchors
from hatlite.models.heads.anchor_head import AnchorHead

ANCHORS = CellAnchors((8, 16), [[(4, 4)], [(8, 8), (4, 8)]])


class Own(AnchorHead):
    def make_layers(self, in_channels):
        pass


def test_strides_are_those_of_the_anchors():
    head = Own(3, ANCHORS, int8_output=True)
    assert head.in_strides == head.out_strides == (8, 16)
    assert list(head.output_strides) == [
        f"{kind}_s{stride}" for stride in (8, 16) for kind in ("cls_logits", "bbox_regression")
    ]
    assert head.dequant.dtype == "int8"
    with pytest.raises(BuildError, match=r"head.in_strides is \(8,\), but head.anchor_generator.strides is \(8, 16\)"):
        Own(3, ANCHORS, [8])


def test_background_is_one_logit_more():
    class WithBackground(Own):
        background = True

    assert (Own(3, ANCHORS).cls_channels, WithBackground(3, ANCHORS).cls_channels) == (3, 4)
