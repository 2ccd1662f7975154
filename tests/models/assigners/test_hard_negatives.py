"""Hard negatives: chosen per image, by loss."""

import torch

from hatlite.models.assigners.hard_negatives import hard_negatives


def test_the_highest_losses_of_each_image():
    loss = torch.tensor([[0.1, 0.9, 0.5, 0.7], [0.2, 0.2, 0.1, 0.2]])
    negative = torch.tensor([[True, False, True, True], [True, True, True, True]])
    chosen = hard_negatives(loss, negative, torch.tensor([2, 2]))
    assert chosen.tolist() == [[False, False, True, True], [True, True, False, False]]  # of equals the earlier


def test_none_and_more_than_there_are():
    loss, negative = torch.rand(2, 5), torch.tensor([[True] * 5, [True, False, True, False, False]])
    chosen = hard_negatives(loss, negative, torch.tensor([0, 9]))
    assert chosen.tolist() == [[False] * 5, negative[1].tolist()]
