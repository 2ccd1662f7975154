"""Normalisation across channels. Liu et al., ParseNet: Looking Wider to See Better, 2015, section 3.3."""

import torch
from torch import nn

__all__ = ["L2Norm"]


class L2Norm(nn.Module):
    """Every pixel's vector of channels, scaled to length 1 and then by a learnt factor per channel.

    It has no integer form: each pixel would be divided by a number of its own.

    Args:
        channels: Channels of the input (N, C, H, W).
        scale: What the factors begin with.
    """

    def __init__(self, channels: int, scale: float = 20.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), float(scale)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(x, dim=1) * self.weight[:, None, None]
