"""Running statistics of a batch norm that training moves on while integers are computed with the old ones."""

import torch
from torch import nn

from hatlite.nn.sync_batch_norm import batch_moments

__all__ = ["BatchStatistics"]


class BatchStatistics(nn.Module):
    """What the running statistics of one batch norm will be at the next refresh.

    Integer constants are folded with the statistics of the batch norm itself, which stay as they are in between.

    Args:
        batch_norm: The network's own; all sites that call it share this object.

    Attributes:
        running_mean: (C,) float32 buffer.
        running_var: (C,) float32 buffer.
        frozen: Whether batches pass without a trace.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, batch_norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.batch_norms = (batch_norm,)  # a tuple, so that it stays where it is
        self.register_buffer("running_mean", batch_norm.running_mean.clone())
        self.register_buffer("running_var", batch_norm.running_var.clone())
        self.frozen = False

    @torch.no_grad()
    def follow(self, y: torch.Tensor) -> None:
        """Move towards the statistics of `y`, (N, C, H, W) real values in front of the batch norm, as torch does.

        A batch with one value per channel has no variance, which torch refuses; here it leaves no trace.
        """
        (bn,) = self.batch_norms
        moments = batch_moments(bn, y)
        if moments is None:
            return
        bn.num_batches_tracked.add_(1)
        momentum = 1.0 / float(bn.num_batches_tracked) if bn.momentum is None else bn.momentum
        mean, variance = moments
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)

    @torch.no_grad()
    def restart(self) -> None:
        """Take the statistics of the batch norm."""
        (bn,) = self.batch_norms
        self.running_mean.copy_(bn.running_mean)
        self.running_var.copy_(bn.running_var)

    @torch.no_grad()
    def take_over(self) -> None:
        """Hand the statistics to the batch norm."""
        (bn,) = self.batch_norms
        bn.running_mean.copy_(self.running_mean)
        bn.running_var.copy_(self.running_var)
