"""Anchors of RetinaNet: all combinations of ratios and scales. Lin et al., Focal Loss, ICCV 2017, section 4."""

import math
from collections.abc import Sequence

from hatlite.errors import BuildError
from hatlite.models.anchors.cell_anchors import CellAnchors
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["AnchorGenerator"]


@OBJECT_REGISTRY.register
class AnchorGenerator(CellAnchors):
    """Per cell one anchor for each ratio and, within it, each scale.

    The scales of a level are ``octave_base_scale · 2^(k / scales_per_octave) · stride``, k = 0 … scales_per_octave − 1:
    the side of the square of the same area.

    Args:
        strides: Pixels per cell of every level, fine to coarse.
        ratios: Heights over widths.
        octave_base_scale: Side of the smallest anchor in cells.
        scales_per_octave: Number of scales between a level and the next.
        center_offset: Where in its cell an anchor's centre lies; 0, as published, is the top left corner.

    All of them are attributes.

    Raises:
        BuildError: There is no level, ratio or scale, or one is not above 0.
    """

    def __init__(
        self,
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        ratios: Sequence[float] = (0.5, 1.0, 2.0),
        octave_base_scale: float = 4.0,
        scales_per_octave: int = 3,
        *,
        center_offset: float = 0.0,
    ) -> None:
        numbers = (*strides, *ratios, octave_base_scale, scales_per_octave)
        if not strides or not ratios or min(numbers) <= 0:
            raise BuildError(
                f"AnchorGenerator: strides {list(strides)}, ratios {list(ratios)}, octave_base_scale "
                f"{octave_base_scale} and scales_per_octave {scales_per_octave} must all be there and above 0."
            )
        self.ratios, self.octave_base_scale = tuple(ratios), octave_base_scale
        self.scales_per_octave = scales_per_octave
        scales = [octave_base_scale * 2 ** (k / scales_per_octave) for k in range(scales_per_octave)]
        shapes = [(scale / math.sqrt(ratio), scale * math.sqrt(ratio)) for ratio in ratios for scale in scales]
        cells = [[(width * stride, height * stride) for width, height in shapes] for stride in strides]
        super().__init__(strides, cells, center_offset)
