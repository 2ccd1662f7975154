"""SmoothL1Loss: both parts by hand."""

import pytest
import torch

from hatlite.errors import BuildError
from hatlite.models.losses.smooth_l1_loss import SmoothL1Loss

VALUES, TARGETS = torch.tensor([0.5, -2.0, 1.0]), torch.tensor([0.0, 1.0, 1.0])


def test_quadratic_then_linear():
    each = SmoothL1Loss(reduction="none")(VALUES, TARGETS)
    assert each.tolist() == [0.125, 2.5, 0]
    assert SmoothL1Loss(beta=0, reduction="none")(VALUES, TARGETS).tolist() == [0.5, 3, 0]
    assert SmoothL1Loss(beta=4.0, reduction="none")(VALUES, TARGETS).tolist() == [0.03125, 1.125, 0]


def test_divided_by_what_is_asked():
    loss = SmoothL1Loss(loss_weight=2.0)
    assert loss(VALUES, TARGETS).item() == pytest.approx(2 * 2.625 / 3)
    assert loss(VALUES, TARGETS, None, 5.0).item() == pytest.approx(2 * 2.625 / 5)
    assert loss(VALUES, TARGETS, torch.tensor([1.0, 0, 0]), 1.0).item() == 0.25
    assert loss.loss_name == "reg"


def test_refuses_a_negative_beta():
    with pytest.raises(BuildError, match="beta is -1; expected 0 or more, 0 being the absolute difference"):
        SmoothL1Loss(beta=-1)
