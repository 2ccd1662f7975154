"""Several processes that work at one batch together, each on its share of the samples; alone, everything is as it is.

A loss that is divided by something counted over the batch, such as positives, divides by its process's part of the
count over the global batch: the sum over all processes by their number. The mean of the processes' losses is then the
loss of the global batch, whoever got which sample, and the mean of their gradients its gradient.
"""

import torch
from torch import distributed

__all__ = ["process", "sum_over_processes"]


def process() -> tuple[int, int]:
    """Return the number of this process, from 0, and how many there are; (0, 1) without a process group."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


@torch.no_grad()
def sum_over_processes(x: torch.Tensor) -> torch.Tensor:
    """Return the sum of `x` over all processes, without gradient; every process must call it with the same shape.

    Args:
        x: Any shape and number type, left as it is. On the CPU it travels over gloo, on CUDA over nccl.
    """
    x = x.detach()
    if process()[1] == 1:
        return x
    total = x.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total
