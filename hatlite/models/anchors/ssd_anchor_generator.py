"""Default boxes of SSD. Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016, section 2.2."""

import math
from collections.abc import Sequence
from itertools import pairwise

from hatlite.errors import BuildError
from hatlite.models.anchors.cell_anchors import CellAnchors
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["SSDAnchorGenerator"]

_FIRST_PERCENT = {10: 4, 15: 7, 20: 10}
"""Smallest box of the regular levels → smallest box of all, in percent of the image: the published configurations."""


@OBJECT_REGISTRY.register
class SSDAnchorGenerator(CellAnchors):
    """Sizes that grow in equal steps from level to level, in percent of one image size.

    A level has a smallest size `min` and a largest one, which is the smallest of the next level. Per cell there are a
    square of side `min`, a square of side ``sqrt(min · max)``, and for each ratio r of the level two boxes of the area
    of the first: one r times as wide as high, one r times as high as wide.

    Args:
        input_size: Side of the image, or (height, width), of which sizes are percents of the longer one. The detector
            takes no other size.
        strides: Pixels per cell of every level, fine to coarse.
        ratios: Per level, without their reciprocals.
        basesize_ratio_range: `min` of the second and of the last level over the image side. Below the second lies one
            level more, whose `max` is the first of these numbers.
        first_ratio: `min` of the first level over the image side; None takes the published one: 0.04, 0.07 and 0.10
            where the range begins at 0.10, 0.15 and 0.20.

    Attributes:
        min_sizes: Of every level, in pixels.
        max_sizes: Of every level, in pixels.
        ratios: Of every level, without their reciprocals.

    Raises:
        BuildError: Levels, range or ratios do not fit together.
    """

    def __init__(
        self,
        input_size: int | Sequence[int],
        strides: Sequence[int] = (8, 16, 32, 64, 128, 256),
        ratios: Sequence[Sequence[float]] = ((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,)),
        basesize_ratio_range: Sequence[float] = (0.1, 0.9),
        *,
        first_ratio: float | None = None,
    ) -> None:
        size = (input_size, input_size) if isinstance(input_size, int) else tuple(input_size)
        if len(strides) != len(ratios):
            raise BuildError(
                f"SSDAnchorGenerator: ratios has {len(ratios)} levels and strides {len(strides)}; expected an entry "
                "of each for every level."
            )
        if len(strides) < 3:
            raise BuildError(
                f"SSDAnchorGenerator: strides has {len(strides)} levels; expected at least 3, since the sizes of the "
                "second to the last are spread over basesize_ratio_range."
            )
        if len(size) != 2 or min(size) < 1:
            raise BuildError(
                f"SSDAnchorGenerator: input_size is {input_size!r}; expected one side or (height, width), above 0."
            )
        percents = _percents(len(strides), basesize_ratio_range, first_ratio)
        bounds = [max(size) * percent // 100 for percent in percents]
        self.min_sizes, self.max_sizes = tuple(bounds[:-1]), tuple(bounds[1:])
        self.ratios = tuple(tuple(level) for level in ratios)
        cells = [_cell(low, high, level) for (low, high), level in zip(pairwise(bounds), ratios, strict=True)]
        super().__init__(strides, cells, 0.5, (size[0], size[1]))


def _percents(levels: int, ratio_range: Sequence[float], first_ratio: float | None) -> list[int]:
    """Return the `min` of every level and the `max` of the last, in percent of the image."""
    low, high = (round(100 * ratio) for ratio in ratio_range)
    first = _FIRST_PERCENT.get(low) if first_ratio is None else round(100 * first_ratio)
    if first is None:
        raise BuildError(
            f"SSDAnchorGenerator: basesize_ratio_range begins at {low / 100:g}, for which no smallest box is published "
            f"(only for {', '.join(f'{percent / 100:g}' for percent in _FIRST_PERCENT)}); give first_ratio."
        )
    if not 0 < first < low < high:
        raise BuildError(
            f"SSDAnchorGenerator: sizes must grow, but first_ratio is {first / 100:g} and basesize_ratio_range "
            f"{low / 100:g}…{high / 100:g}."
        )
    step = (high - low) // (levels - 2)
    return [first, *(low + step * level for level in range(levels))]


def _cell(low: int, high: int, ratios: Sequence[float]) -> list[tuple[float, float]]:
    """Return (width, height) of a cell's anchors in the published order: for each ratio first the wide one."""
    between = math.sqrt(low * high)
    shapes = [(float(low), float(low)), (between, between)]
    for ratio in ratios:
        long, short = low * math.sqrt(ratio), low / math.sqrt(ratio)
        shapes += [(long, short), (short, long)]
    return shapes
