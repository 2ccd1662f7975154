"""GIoU loss by hand and its gradient."""

import pytest
import torch

from hatlite.models.losses.giou_loss import GIoULoss


def test_by_hand():
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]])
    targets = torch.tensor([[0.0, 0.0, 2.0, 2.0], [4.0, 0.0, 6.0, 2.0]])
    assert GIoULoss(reduction="none")(boxes, targets).tolist() == pytest.approx([0.0, 1 + 4 / 12])
    weighted = GIoULoss(loss_weight=3.0)(boxes, targets, torch.tensor([1.0, 0.5]), 2.0)
    assert weighted.item() == pytest.approx(3 * 0.5 * (16 / 12) / 2)


def test_boxes_far_apart_are_drawn_together():
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0]], requires_grad=True)
    GIoULoss()(boxes, torch.tensor([[10.0, 0.0, 12.0, 2.0]])).backward()
    assert boxes.grad[0, 2] < 0  # the right side wants to move right


def test_empty_boxes_have_a_finite_gradient():
    boxes = torch.zeros(1, 4, requires_grad=True)
    GIoULoss()(boxes, torch.tensor([[-1.0, -1.0, 1.0, 1.0]])).backward()
    assert boxes.grad.isfinite().all()
