"""The part of a detector that runs on the accelerator."""

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.nn.stubs import QuantStub

__all__ = ["Network"]

_PIXEL_SCALE = 1 / 128  # an image centred and divided by 128 becomes exactly pixel − 128


class Network(nn.Module):
    """``img (N, 3, H, W) → dict[name, (N, C, H / stride, W / stride)]``: quant, backbone, neck, head.

    Only modules with an integer form are called, and no shape decides what runs, so that torch.fx can trace it. Neck
    and head learn (or check) the channels of what comes before them.

    Args:
        backbone: Has ``stride2channels``; returns a list of features.
        neck: Has ``bind(stride2channels)`` and ``stride2channels``; list in, list out.
        head: Has ``bind(stride2channels)`` and ``output_strides``; list in, dict of named outputs out.

    Raises:
        BuildError: The backbone is a classifier, or the channels or strides of neighbours differ; the message names
            both places.
    """

    def __init__(self, backbone: nn.Module, neck: nn.Module, head: nn.Module) -> None:
        super().__init__()
        if getattr(backbone, "top", None) is not None:
            raise BuildError(
                f"backbone.include_top is True, so {type(backbone).__name__} returns class logits, but the neck takes"
                " its features; leave include_top out."
            )
        neck.bind(backbone.stride2channels)
        head.bind(neck.stride2channels)
        self.quant = QuantStub(scale=_PIXEL_SCALE)
        self.backbone, self.neck, self.head = backbone, neck, head

    @property
    def output_strides(self) -> dict[str, int]:
        """Stride of every output by its name."""
        return self.head.output_strides

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.head(self.neck(self.backbone(self.quant(img))))
