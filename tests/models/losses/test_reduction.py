"""From a loss per element to one number."""

import pytest
import torch

from hatlite.errors import BuildError
from hatlite.models.losses.reduction import check_reduction, weighted_reduce


def test_three_reductions_by_hand():
    loss, weight = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 0.0, 2.0])
    assert weighted_reduce(loss, weight, reduction="none").tolist() == [1, 0, 6]
    assert weighted_reduce(loss, weight, reduction="sum").item() == 7
    assert weighted_reduce(loss, weight, 2.0).item() == 3.5
    assert weighted_reduce(loss).item() == 2


def test_nothing_is_zero_and_not_nan():
    assert weighted_reduce(torch.zeros(0)).item() == 0.0


def test_unknown_reduction_names_the_loss():
    with pytest.raises(BuildError, match="GIoULoss: reduction is 'average'; expected one of none, mean, sum"):
        check_reduction("average", "GIoULoss")
