"""The head of SSD. Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from hatlite.models.anchors.cell_anchors import CellAnchors
from hatlite.models.heads.anchor_head import AnchorHead
from hatlite.nn.init import init_he, init_normal
from hatlite.nn.separable import conv_3x3
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["SSDHead"]

_PREDICTOR_STD = 0.01  # classes begin nearly equal, boxes near their anchors


@OBJECT_REGISTRY.register
class SSDHead(AnchorHead):
    """Two convolutions per level, one for classes with background as the last, one for boxes; levels share nothing.

    Args:
        num_classes: Number of classes, without background.
        anchor_generator: Such as :class:`~hatlite.models.anchors.ssd_anchor_generator.SSDAnchorGenerator`.
        in_strides: Strides of the features that arrive; None takes those of the anchors.
        conv_type: ``plain`` is one 3×3 convolution; ``depthwise`` and ``grouped`` are a 3×3 with batch norm and ReLU,
            and a 1×1 (:func:`~hatlite.nn.separable.conv_3x3`). The last convolution has a bias.
        group_width: Channels per group of ``grouped``.
        stride2channels: Channels of the features. None takes them from the neck (:meth:`bind`).
        int8_output: Outputs leave the accelerator as int8.
        int16_output: Outputs leave as int16. Neither: int32, the accumulators themselves.
        bn_kwargs: Further arguments of every ``nn.BatchNorm2d``.

    Raises:
        BuildError: Strides or options do not fit together.
    """

    background = True

    def __init__(
        self,
        num_classes: int,
        anchor_generator: CellAnchors,
        in_strides: Sequence[int] | None = None,
        *,
        conv_type: str = "plain",
        group_width: int = 16,
        stride2channels: Mapping[int, int] | None = None,
        int8_output: bool = False,
        int16_output: bool = False,
        bn_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self._conv = {"conv_type": conv_type, "group_width": group_width, "norm": False, "bn_kwargs": bn_kwargs}
        dtypes = {"int8_output": int8_output, "int16_output": int16_output}
        super().__init__(num_classes, anchor_generator, in_strides, stride2channels=stride2channels, **dtypes)

    def make_layers(self, in_channels: Mapping[int, int]) -> None:
        """Build both branches of every level."""
        anchors = self.anchor_generator.num_anchors
        widths = list(zip(in_channels.values(), anchors, strict=True))
        self.cls_logits = nn.ModuleList(conv_3x3(c, a * self.cls_channels, **self._conv) for c, a in widths)
        self.bbox_regression = nn.ModuleList(conv_3x3(c, a * 4, **self._conv) for c, a in widths)
        init_he(self)
        for branch in (*self.cls_logits, *self.bbox_regression):
            init_normal(branch.conv, _PREDICTOR_STD)

    def forward(self, features: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the outputs by name, strides fine to coarse, of one feature (N, C, H, W) per stride."""
        outputs = {}
        for level, (stride, x) in enumerate(zip(self.in_strides, features, strict=True)):
            outputs[f"cls_logits_s{stride}"] = self.dequant(self.cls_logits[level](x))
            outputs[f"bbox_regression_s{stride}"] = self.dequant(self.bbox_regression[level](x))
        return outputs
