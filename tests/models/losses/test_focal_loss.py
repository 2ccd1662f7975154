"""Focal loss: by hand, against torchvision, and its agreement with the head."""

import math

import pytest
import torch
import torchvision

from hatlite.errors import BuildError
from hatlite.models.losses.focal_loss import FocalLoss


def test_one_logit_by_hand():
    logit = torch.zeros(1, 1)  # p = 0.5, so (1 − p)² · −log p = 0.25 · log 2
    assert FocalLoss()(logit, torch.tensor([0])).item() == pytest.approx(0.25 * 0.25 * math.log(2))
    assert FocalLoss()(logit, torch.tensor([1])).item() == pytest.approx(0.75 * 0.25 * math.log(2))


def test_agrees_with_torchvision():
    torch.manual_seed(0)
    logits, classes = torch.randn(6, 4) * 3, torch.tensor([0, 3, 4, 4, 1, -1])
    one_hot = torch.zeros(6, 5).index_put((torch.arange(6), classes.clamp(min=-1) % 5), torch.tensor(1.0))[:, :4]
    expected = torchvision.ops.sigmoid_focal_loss(logits, one_hot, alpha=0.3, gamma=1.5)
    loss = FocalLoss(alpha=0.3, gamma=1.5, loss_weight=2.0, reduction="none")
    torch.testing.assert_close(loss(logits, classes), 2.0 * expected)


def test_weight_counts_rows_and_avg_factor_divides():
    logits, classes = torch.randn(3, 2), torch.tensor([0, 1, 2])
    rows = FocalLoss(reduction="none")(logits, classes).sum(dim=1)
    weighted = FocalLoss()(logits, classes, torch.tensor([1.0, 0.0, 2.0]), 4.0)
    torch.testing.assert_close(weighted, (rows[0] + 2 * rows[2]) / 4)


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[-200.0], [200.0]], requires_grad=True)
    loss = FocalLoss(reduction="sum")(logits, torch.tensor([0, 1]))
    loss.backward()
    assert loss.item() == pytest.approx(0.25 * 200 + 0.75 * 200)
    assert logits.grad.isfinite().all()


def test_elements_take_a_mask_or_one_answer():
    logits = torch.randn(4)
    loss = FocalLoss()
    mask = torch.tensor([True, False, True, False])
    mixed = torch.where(mask, loss.elements(logits, True), loss.elements(logits, False))
    torch.testing.assert_close(loss.elements(logits, mask), mixed)


@pytest.mark.parametrize("given", [None, 80, 81])
def test_counts_classes_with_or_without_background(given):
    FocalLoss(num_classes=given).bind(80, "loss_cls")


def test_another_number_of_classes_names_both_places():
    with pytest.raises(BuildError, match=r"loss_cls.num_classes is 20, but head.num_classes is 80; expected 80, or 81"):
        FocalLoss(num_classes=20).bind(80, "loss_cls")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"alpha": 25}, r"FocalLoss: alpha is 25; expected 0…1, the weight of the target class\."),
        ({"gamma": -1.0}, r"FocalLoss: gamma is -1\.0; expected 0 or more"),
        ({"gamma": float("nan")}, r"FocalLoss: gamma is nan; expected 0 or more"),
    ],
)
def test_refuses_values_outside_their_range(wrong, message):
    with pytest.raises(BuildError, match=message):
        FocalLoss(**wrong)
