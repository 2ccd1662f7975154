"""Cross entropy by hand, both forms."""

import math

import pytest
import torch

from hatlite.models.losses.cross_entropy_loss import CrossEntropyLossV2


def test_sigmoid_with_soft_targets():
    loss = CrossEntropyLossV2(use_sigmoid=True, reduction="none")
    # At p = 0.5 every target costs log 2; at logit log 3, p = 3/4.
    values = loss(torch.tensor([0.0, math.log(3)]), torch.tensor([0.3, 0.5]))
    assert values.tolist() == pytest.approx([math.log(2), -0.5 * math.log(3 / 4) - 0.5 * math.log(1 / 4)])


def test_softmax_over_classes():
    loss = CrossEntropyLossV2(loss_weight=2.0)
    assert loss(torch.zeros(2, 4), torch.tensor([0, 3])).item() == pytest.approx(2 * math.log(4))


def test_avg_factor():
    loss = CrossEntropyLossV2(use_sigmoid=True)
    assert loss(torch.zeros(3), torch.zeros(3), None, 6.0).item() == pytest.approx(math.log(2) / 2)
