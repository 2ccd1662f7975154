"""The head of RetinaNet. Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, section 4."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.anchors.cell_anchors import CellAnchors
from hatlite.models.heads.anchor_head import AnchorHead
from hatlite.nn.init import init_he, init_normal, prior_bias
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["RetinaHead"]

_PREDICTOR_STD = 0.01
_CLASS_PRIOR = 0.01


@OBJECT_REGISTRY.register
class RetinaHead(AnchorHead):
    """A tower of 3×3 convolutions with ReLU for classes and one for boxes, shared by all levels; no background class.

    Args:
        num_classes: Number of classes.
        anchor_generator: Such as :class:`~hatlite.models.anchors.anchor_generator.AnchorGenerator`; with as many
            anchors per cell at every level.
        in_strides: Strides of the features that arrive; None takes those of the anchors.
        feat_channels: Channels of the towers.
        stacked_convs: Convolutions per tower.
        stride2channels: Channels of the features, the same at all strides. None takes them from the neck
            (:meth:`bind`).
        int8_output: Outputs leave the accelerator as int8.
        int16_output: Outputs leave as int16. Neither: int32, the accumulators themselves.

    Raises:
        BuildError: Strides, channels or numbers of anchors do not fit together.
    """

    def __init__(
        self,
        num_classes: int,
        anchor_generator: CellAnchors,
        in_strides: Sequence[int] | None = None,
        *,
        feat_channels: int = 256,
        stacked_convs: int = 4,
        stride2channels: Mapping[int, int] | None = None,
        int8_output: bool = False,
        int16_output: bool = False,
    ) -> None:
        if len(set(anchor_generator.num_anchors)) != 1:
            raise BuildError(
                f"RetinaHead: head.anchor_generator gives {list(anchor_generator.num_anchors)} anchors per cell; "
                "expected one number for all levels, because they share their convolutions."
            )
        self.feat_channels, self.stacked_convs = feat_channels, stacked_convs
        dtypes = {"int8_output": int8_output, "int16_output": int16_output}
        super().__init__(num_classes, anchor_generator, in_strides, stride2channels=stride2channels, **dtypes)

    def make_layers(self, in_channels: Mapping[int, int]) -> None:
        """Build towers and predictors."""
        width, anchors = self.shared_channels(in_channels), self.anchor_generator.num_anchors[0]
        self.cls_tower, self.reg_tower = self._make_tower(width), self._make_tower(width)
        self.cls_logits = nn.Conv2d(self.feat_channels, anchors * self.cls_channels, 3, padding=1)
        self.bbox_regression = nn.Conv2d(self.feat_channels, anchors * 4, 3, padding=1)
        init_he(self)
        init_normal(self.cls_logits, _PREDICTOR_STD, bias=prior_bias(_CLASS_PRIOR))
        init_normal(self.bbox_regression, _PREDICTOR_STD)

    def _make_tower(self, width: int) -> nn.Sequential:
        tower = nn.Sequential()
        for _ in range(self.stacked_convs):
            tower.append(nn.Conv2d(width, self.feat_channels, 3, padding=1)).append(nn.ReLU())
            width = self.feat_channels
        return tower

    def forward(self, features: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the outputs by name, strides fine to coarse, of one feature (N, C, H, W) per stride."""
        outputs = {}
        for stride, x in zip(self.in_strides, features, strict=True):
            outputs[f"cls_logits_s{stride}"] = self.dequant(self.cls_logits(self.cls_tower(x)))
            outputs[f"bbox_regression_s{stride}"] = self.dequant(self.bbox_regression(self.reg_tower(x)))
        return outputs
