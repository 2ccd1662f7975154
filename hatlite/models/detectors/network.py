"""The part of a detector that runs on the accelerator."""

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.nn.stubs import QuantStub

__all__ = ["Network"]

_PIXEL_SCALE, _PIXEL_LEVELS = 1 / 128, (-128, 127)  # an image centred and divided by 128 becomes exactly pixel − 128


class Network(nn.Module):
    """``img (N, 3, H, W) → dict[name, (N, C, H / stride, W / stride)]``: quant, backbone, neck, head.

    Only modules with an integer form are called, and no shape decides what runs, so that torch.fx can trace it. Neck
    and head learn (or check) the channels of what comes before them.

    Args:
        backbone: Has ``stride2channels``; returns a list of features. One whose input is no image that was centred and
            divided by 128 says what it is: ``pixel_scale`` and ``pixel_levels``, arguments of ``QuantStub``.
        neck: Has ``bind(stride2channels)`` and ``stride2channels``; list in, list out. None hands the backbone's
            features to the head.
        head: Has ``bind(stride2channels)`` and ``output_strides``; list in, dict of named outputs out.

    Raises:
        BuildError: The backbone is a classifier, or the channels or strides of neighbours differ; the message names
            both places.
    """

    def __init__(self, backbone: nn.Module, neck: nn.Module | None, head: nn.Module) -> None:
        super().__init__()
        if getattr(backbone, "top", None) is not None:
            raise BuildError(
                f"backbone.include_top is True, so {type(backbone).__name__} returns class logits, but the neck takes"
                " its features; leave include_top out."
            )
        if neck is not None:
            neck.bind(backbone.stride2channels)
        head.bind((backbone if neck is None else neck).stride2channels)
        scale = getattr(backbone, "pixel_scale", _PIXEL_SCALE)
        self.quant = QuantStub(scale, getattr(backbone, "pixel_levels", _PIXEL_LEVELS))
        self.backbone, self.neck, self.head = backbone, neck, head

    @property
    def size_divisor(self) -> int:
        """What both sides of an image must be multiples of, so that the levels of the neck fit onto one another."""
        return 1 if self.neck is None else self.neck.size_divisor

    @property
    def output_strides(self) -> dict[str, int]:
        """Stride of every output by its name."""
        return self.head.output_strides

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.backbone(self.quant(img))
        return self.head(features if self.neck is None else self.neck(features))
