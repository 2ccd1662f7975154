"""Batch norm over the batch of all processes, on the CPU and on CUDA alike."""

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hatlite.ops.processes import process, sum_over_processes

__all__ = ["SyncBatchNorm2d", "batch_moments", "share_batch_statistics"]

CHANNEL = (1, -1, 1, 1)


class SyncBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` whose batch is that of all processes: statistics, gradient and running statistics.

    Alone or in eval mode it is ``nn.BatchNorm2d`` itself. Unlike ``nn.SyncBatchNorm`` it works on the CPU, where gloo
    carries its sums, and it is a ``BatchNorm2d``, so that capture and fusion take it for what it is. Shares may differ
    in size; each holds at least one sample. Every process must call its batch norms in the same order.

    Ioffe and Szegedy, Batch Normalization, ICML 2015; variances are combined as in Chan, Golub and LeVeque, Updating
    Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch = self.training or not self.track_running_stats
        if process()[1] == 1 or not batch:
            return super().forward(x)
        self._check_input_dim(x)
        y, mean, variance = _Normalize.apply(x, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self._follow(mean, variance)
        return y

    @torch.no_grad()
    def _follow(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        self.num_batches_tracked.add_(1)
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.mul_(1 - momentum).add_(mean.to(self.running_mean.dtype), alpha=momentum)
        self.running_var.mul_(1 - momentum).add_(variance.to(self.running_var.dtype), alpha=momentum)


class _Normalize(torch.autograd.Function):
    """Batch norm with the moments of the joined batch; returns y, the mean and the unbiased variance."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None, eps: float
    ) -> tuple[torch.Tensor, ...]:
        mean, variance, count = _moments(x)
        unbiased = variance * (count / (count - 1))  # each process has a sample: two values at least
        inverse = torch.rsqrt(variance + eps)
        wide = torch.promote_types(x.dtype, torch.float32)
        mean, variance, unbiased, inverse = (value.to(wide) for value in (mean, variance, unbiased, inverse))
        ctx.save_for_backward(x, weight, mean, inverse, count)
        ctx.has_bias = bias is not None
        ctx.mark_non_differentiable(mean, unbiased)
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps), mean, unbiased

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of this process's x, and of weight and bias as far as this process caused them.

        ``dx = weight · inverse · (dy − Σdy / n − z · Σ(dy · z) / n)`` with z the normalised x: the sums, over the
        joined batch, are what the losses of all owe to this x through the moments.
        """
        x, weight, mean, inverse, count = ctx.saved_tensors
        z = (x - mean.view(CHANNEL)) * inverse.view(CHANNEL)
        dy = dy.to(z.dtype)
        own = torch.stack([dy.sum((0, 2, 3)), (dy * z).sum((0, 2, 3))])
        shared = sum_over_processes(own) / count.to(own.dtype)
        scale = inverse if weight is None else inverse * weight
        dx = (dy - shared[0].view(CHANNEL) - z * shared[1].view(CHANNEL)) * scale.view(CHANNEL)
        dweight = None if weight is None else own[1].to(weight.dtype)
        return dx.to(x.dtype), dweight, own[0].to(mean.dtype) if ctx.has_bias else None, None


def _moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return mean and biased variance of each channel of the joined batch, (C,) float64, and how many values it has.

    Two sums travel, one after the other: the second is of squares around the common mean and cancels nothing.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    own = x.new_tensor([x.numel() // x.shape[1]], dtype=torch.float64)
    variance, mean = torch.var_mean(wide, dim=(0, 2, 3), correction=0)
    variance, mean = variance.double(), mean.double()
    total = sum_over_processes(torch.cat([own, own * mean]))
    count, common = total[0], total[1:] / total[0]
    squares = sum_over_processes(own * (variance + (mean - common).square()))
    return common, squares / count, count


def batch_moments(norm: nn.BatchNorm2d, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return mean and unbiased variance of each channel of `x`, as `norm` would count them; no gradient.

    None where the batch has one value per channel, an image of one pixel: one value says nothing about a variance.

    Args:
        norm: A :class:`SyncBatchNorm2d` counts the batch of all processes, any other its own.
        x: (N, C, H, W) float32.
    """
    with torch.no_grad():
        if isinstance(norm, SyncBatchNorm2d) and process()[1] > 1:
            mean, variance, count = _moments(x)  # each process has a sample, so there are two values at least
            return mean.to(x.dtype), (variance * (count / (count - 1))).to(x.dtype)
        if x.numel() == x.shape[1]:
            return None
        variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=1)
        return mean, variance


def share_batch_statistics(model: nn.Module) -> None:
    """Turn every ``BatchNorm2d`` below `model` into a :class:`SyncBatchNorm2d`, in place.

    The modules stay the same objects with the same parameters and buffers, whoever else holds them: the sites of a
    fake-quant graph do. Only their class changes, which adds no state.
    """
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncBatchNorm2d
