"""What heads that answer for anchors have in common: as many answers per cell as there are anchors."""

from collections.abc import Mapping, Sequence

from hatlite.models.agreement import agree
from hatlite.models.anchors.cell_anchors import CellAnchors
from hatlite.models.heads.dense_head import DenseHead

__all__ = ["AnchorHead"]


class AnchorHead(DenseHead):
    """Outputs per stride s: ``cls_logits_s{s}`` (N, A · C, H, W) and ``bbox_regression_s{s}`` (N, A · 4, H, W).

    A is the number of anchors of a cell of that stride, whose channels follow one another; C is `cls_channels`.

    Args:
        num_classes: Number of classes, without background.
        anchor_generator: Says how many anchors a cell has. It is no part of the network; the detector takes it along.
        in_strides: Strides of the features that arrive, all of which are predicted; None takes those of the anchors.
        stride2channels: Channels of the features. None takes them from the neck (:meth:`bind`).
        int8_output: Outputs leave the accelerator as int8.
        int16_output: Outputs leave as int16. Neither: int32, the accumulators themselves.

    Raises:
        BuildError: The strides are not those of the anchors.
    """

    kinds = ("cls_logits", "bbox_regression")
    background = False
    """Whether background is a class of its own, the last."""

    def __init__(
        self,
        num_classes: int,
        anchor_generator: CellAnchors,
        in_strides: Sequence[int] | None = None,
        *,
        stride2channels: Mapping[int, int] | None = None,
        int8_output: bool = False,
        int16_output: bool = False,
    ) -> None:
        self.anchor_generator = anchor_generator
        of_anchors = ("head.anchor_generator.strides", anchor_generator.strides)
        given = None if in_strides is None else tuple(in_strides)
        strides = agree("the strides of the levels", of_anchors, ("head.in_strides", given))
        dtypes = {"int8_output": int8_output, "int16_output": int16_output}
        super().__init__(num_classes, strides, stride2channels=stride2channels, **dtypes)

    @property
    def cls_channels(self) -> int:
        """Logits per anchor."""
        return self.num_classes + self.background
