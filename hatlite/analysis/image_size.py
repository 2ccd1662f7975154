"""What a network asks of the sides of an image, for the message that it did not run on one."""

from collections.abc import Sequence

from torch import nn

__all__ = ["asked_of_sides"]


def asked_of_sides(network: nn.Module, shape: Sequence[int]) -> str:
    """Return the sentence on the multiple that both sides must have, if `shape` lacks it; else nothing.

    Args:
        network: Its ``size_divisor`` counts; one without asks nothing.
        shape: (N, C, H, W) of an image that the network did not take.
    """
    divisor = getattr(network, "size_divisor", 1)
    odd = any(side % divisor for side in shape[2:])
    return f"\n  Height and width must be multiples of {divisor}." if odd else ""
