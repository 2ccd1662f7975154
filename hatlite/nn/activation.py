"""Activations that learn otherwise than they compute."""

import torch
from torch import nn

__all__ = ["RaisableReLU"]


class _Raisable(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return grad.where((x > 0) | (grad < 0), 0)


class RaisableReLU(nn.ReLU):
    """A ReLU whose zeros can be learned away: in training they get the gradient that raises them.

    A network whose outputs are those of a ReLU cannot leave an output that is 0 for all images, for none of them gives
    it a gradient. What would push a zero further down is left out, as a ReLU has it. In eval mode it is a ReLU.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Raisable.apply(x) if self.training else super().forward(x)
