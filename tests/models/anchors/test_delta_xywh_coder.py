"""DeltaXYWHCoder: by hand, back and forth, and beside torchvision's."""

import math

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder

from hatlite.errors import BuildError
from hatlite.models.anchors.delta_xywh_coder import DeltaXYWHCoder


def boxes_of(count=50, seed=0):
    corner, side = torch.rand(2, count, 2, generator=torch.Generator().manual_seed(seed)) * 100
    return torch.cat([corner, corner + side + 1], dim=1)


def test_by_hand():
    anchor, box = torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[3.0, 4, 23, 14]])
    # The centre moves from (5, 10) to (13, 9); the sides grow from 10 × 20 to 20 × 10.
    expected = [[0.8 / 0.1, -0.05 / 0.1, math.log(2) / 0.2, -math.log(2) / 0.2]]
    assert DeltaXYWHCoder().encode(anchor, box)[0].tolist() == pytest.approx(expected[0])
    shifted = DeltaXYWHCoder(means=(0.1, 0, 0, 0), stds=(1, 1, 1, 1)).encode(anchor, box)
    assert shifted[0].tolist() == pytest.approx([0.7, -0.05, math.log(2), -math.log(2)])


def test_there_and_back():
    coder = DeltaXYWHCoder(means=(0.1, -0.1, 0.2, 0.0))
    anchors, boxes = boxes_of(), boxes_of(seed=1)
    torch.testing.assert_close(coder.decode(anchors, coder.encode(anchors, boxes)), boxes, rtol=1e-4, atol=1e-3)


def test_torchvision_does_the_same():
    anchors, boxes = boxes_of(), boxes_of(seed=1)
    theirs = BoxCoder((10.0, 10.0, 5.0, 5.0))
    torch.testing.assert_close(DeltaXYWHCoder().encode(anchors, boxes), theirs.encode_single(boxes, anchors))
    deltas = 8 * torch.randn(50, 4, generator=torch.Generator().manual_seed(2))
    ours, expected = DeltaXYWHCoder().decode(anchors, deltas), theirs.decode_single(deltas, anchors)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-3)


def test_extremes_stay_finite():
    coder, anchor = DeltaXYWHCoder(), torch.tensor([[0.0, 0, 10, 10]])
    assert coder.decode(anchor, torch.full((1, 4), 1e4)).isfinite().all()
    assert coder.encode(anchor, torch.tensor([[5.0, 5, 5, 5]])).isfinite().all()


@pytest.mark.parametrize("options", [{"means": (0, 0)}, {"stds": (0.1, 0.1, 0.2, 0.0)}])
def test_refuses_what_are_not_four_numbers(options):
    with pytest.raises(BuildError, match="expected four numbers each, for dx, dy, dw, dh, and stds above 0"):
        DeltaXYWHCoder(**options)
