"""The head of FCOS: class, box and centerness at every point of every level.

Tian et al., FCOS: Fully Convolutional One-Stage Object Detection, ICCV 2019.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.heads.dense_head import DenseHead
from hatlite.nn.init import init_he, init_normal, prior_bias
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["FCOSHead"]

_PREDICTOR_STD = 0.01  # section 3.3 of the focal loss paper
_CLASS_PRIOR = 0.01
_BBOX_BIAS = 1.0  # first boxes are two cells wide: ReLU lets their gradient through, and every level fits some objects


class _SharedBlock(nn.Module):
    """Depthwise 3×3 → 1×1 → batch norm of the level → ReLU; the convolutions are shared by all levels."""

    def __init__(self, in_channels: int, channels: int, norms: int, bn_kwargs: Mapping[str, Any]) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
        self.pointwise = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bns = nn.ModuleList(nn.BatchNorm2d(channels, **bn_kwargs) for _ in range(norms))
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor, level: int) -> torch.Tensor:
        bn = self.bns[level] if len(self.bns) > 1 else self.bns[0]
        return self.relu(bn(self.pointwise(self.depthwise(x))))


@OBJECT_REGISTRY.register
class FCOSHead(DenseHead):
    """Two towers of shared convolutions with batch norms per level, and three predictors.

    Outputs are a flat dict, per stride s: ``cls_logits_s{s}`` (N, num_classes, H, W), ``bbox_regression_s{s}``
    (N, 4, H, W), the distances l, t, r, b ≥ 0 in units of the stride, and ``centerness_s{s}`` (N, 1, H, W), a logit.

    Args:
        num_classes: Number of classes, without background.
        in_strides: Strides of the features that arrive.
        out_strides: Strides that are predicted; a subset of `in_strides`, None for all.
        stride2channels: Channels of the features, the same at all strides. None takes them from the neck
            (:meth:`bind`).
        feat_channels: Channels of the towers.
        stacked_convs: Blocks per tower.
        upscale_bbox_pred: Whether distances are to be multiplied by the stride after the network. The multiplication
            itself is the decoder's; either the head or the decoder asks for it.
        int8_output: Outputs leave the accelerator as int8.
        int16_output: Outputs leave as int16. Neither: int32, the accumulators themselves.
        share_bn: One batch norm for all levels instead of one per level.
        bn_kwargs: Further arguments of every ``nn.BatchNorm2d``.
        dequant_output: Either way outputs leave the accelerator as integers with their scales, and the host multiplies
            them; configs of this format set False in the model that they deploy.
        nhwc_output: False; tensors are (N, C, H, W) in the network, and NHWC in the integer program by itself.
        share_conv: True; convolutions are shared by all levels.
        bbox_relu: True; distances pass a ReLU.

    Raises:
        BuildError: Strides or options do not fit together.
    """

    kinds = ("cls_logits", "bbox_regression", "centerness")

    def __init__(
        self,
        num_classes: int,
        in_strides: Sequence[int] = (8, 16, 32, 64, 128),
        out_strides: Sequence[int] | None = None,
        *,
        stride2channels: Mapping[int, int] | None = None,
        feat_channels: int = 64,
        stacked_convs: int = 4,
        upscale_bbox_pred: bool = False,
        int8_output: bool = False,
        int16_output: bool = False,
        share_bn: bool = False,
        bn_kwargs: Mapping[str, Any] | None = None,
        dequant_output: bool = True,
        nhwc_output: bool = False,
        share_conv: bool = True,
        bbox_relu: bool = True,
    ) -> None:
        self._refuse(nhwc_output=(nhwc_output, False), share_conv=(share_conv, True), bbox_relu=(bbox_relu, True))
        self.feat_channels, self.stacked_convs = feat_channels, stacked_convs
        self.upscale_bbox_pred = upscale_bbox_pred
        self.share_bn, self.bn_kwargs = share_bn, dict(bn_kwargs or {})
        dtypes = {"int8_output": int8_output, "int16_output": int16_output}
        super().__init__(num_classes, in_strides, out_strides, stride2channels=stride2channels, **dtypes)

    @staticmethod
    def _refuse(**options: tuple[bool, bool]) -> None:
        for name, (given, only) in options.items():
            if given != only:
                raise BuildError(f"FCOSHead: {name}={given} is not supported; set head.{name}={only} or leave it out.")

    def make_layers(self, in_channels: Mapping[int, int]) -> None:
        """Build towers and predictors."""
        width = self.shared_channels(in_channels)
        self.cls_tower = self._make_tower(width)
        self.reg_tower = self._make_tower(width)
        self.cls_logits = nn.Conv2d(self.feat_channels, self.num_classes, 3, padding=1)
        self.bbox_regression = nn.Conv2d(self.feat_channels, 4, 3, padding=1)
        self.centerness = nn.Conv2d(self.feat_channels, 1, 3, padding=1)
        self.bbox_relu = nn.ReLU()
        init_he(self.cls_tower)
        init_he(self.reg_tower)
        init_normal(self.cls_logits, _PREDICTOR_STD, bias=prior_bias(_CLASS_PRIOR))
        init_normal(self.bbox_regression, _PREDICTOR_STD, bias=_BBOX_BIAS)
        init_normal(self.centerness, _PREDICTOR_STD)

    def _make_tower(self, in_channels: int) -> nn.ModuleList:
        norms = 1 if self.share_bn else len(self.out_strides)
        widths = [in_channels] + [self.feat_channels] * self.stacked_convs
        return nn.ModuleList(_SharedBlock(before, after, norms, self.bn_kwargs) for before, after in pairwise(widths))

    def forward(self, features: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the outputs by name, strides fine to coarse, of one feature (N, C, H, W) per input stride."""
        by_stride = dict(zip(self.in_strides, features, strict=True))
        outputs = {}
        for level, stride in enumerate(self.out_strides):
            classification = regression = by_stride[stride]
            for block in self.cls_tower:
                classification = block(classification, level)
            for block in self.reg_tower:
                regression = block(regression, level)
            outputs[f"cls_logits_s{stride}"] = self.dequant(self.cls_logits(classification))
            outputs[f"bbox_regression_s{stride}"] = self.dequant(self.bbox_relu(self.bbox_regression(regression)))
            outputs[f"centerness_s{stride}"] = self.dequant(self.centerness(regression))
        return outputs
