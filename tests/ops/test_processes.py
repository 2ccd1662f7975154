"""What several processes count together."""

import torch
from process_groups import in_processes

from hatlite.ops.processes import process, sum_over_processes


def counted(rank):
    own = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).t() * (rank + 1)
    own.requires_grad_()
    total = sum_over_processes(own)
    assert not total.requires_grad
    return process(), total.tolist(), own.tolist(), sum_over_processes(torch.tensor(rank)).item()


def test_sums_by_hand_leave_their_summands():
    for rank, (who, total, own, integers) in enumerate(in_processes(3, counted)):
        assert who == (rank, 3)
        assert total == [[6.0, 18.0], [12.0, 24.0]]
        assert own == [[rank + 1.0, 3.0 * (rank + 1)], [2.0 * (rank + 1), 4.0 * (rank + 1)]]
        assert integers == 3


def test_alone_nothing_changes():
    x = torch.ones(2, requires_grad=True)
    assert process() == (0, 1)
    assert torch.equal(sum_over_processes(x), x) and not sum_over_processes(x).requires_grad
