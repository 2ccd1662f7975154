"""Stochastic depth."""

import torch
from torch import nn

__all__ = ["DropPath"]


class DropPath(nn.Identity):
    """Skip a residual branch at random per sample while training; the identity otherwise; integers never skip anything.

    Huang et al., Deep Networks with Stochastic Depth, ECCV 2016.

    Args:
        rate: Probability in 0…1 (1 excluded) that the branch of a sample is zero; the others are scaled by 1 / (1 −
            rate).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        keep = x.new_empty(len(x), 1, 1, 1).bernoulli_(1.0 - self.rate)
        return x * keep / (1.0 - self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"
