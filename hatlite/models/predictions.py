"""The outputs of a dense head: all levels in one row, or the cells of one grid.

Legend: N images, P points of all levels, A anchors of all levels, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from hatlite.ops.boxes import points_for_levels

__all__ = [
    "GRID_BOX_CHANNELS",
    "AnchorPredictions",
    "DensePredictions",
    "GridPredictions",
    "flatten_anchor_outputs",
    "flatten_outputs",
    "split_grid",
]


@dataclass(frozen=True)
class DensePredictions:
    """What the head says at every point.

    Attributes:
        cls_logits: (N, P, C) float32.
        bbox_regression: (N, P, 4) float32, l, t, r, b ≥ 0 in units of the stride.
        centerness: (N, P) float32, logits.
        points: (P, 2) float32, x and y in pixels of the network input.
        strides: (P,) float32, pixels per cell.
        level_sizes: Number of points of every level, in order; they sum to P.
    """

    cls_logits: torch.Tensor
    bbox_regression: torch.Tensor
    centerness: torch.Tensor
    points: torch.Tensor
    strides: torch.Tensor
    level_sizes: tuple[int, ...]

    def detach(self) -> "DensePredictions":
        """Return the same values without gradient."""
        values = (self.cls_logits.detach(), self.bbox_regression.detach(), self.centerness.detach())
        return DensePredictions(*values, self.points, self.strides, self.level_sizes)


def flatten_outputs(outputs: Mapping[str, torch.Tensor], strides: Sequence[int]) -> DensePredictions:
    """Return the `outputs` of a head by name, with levels joined in the order of `strides`."""
    maps = [outputs[f"cls_logits_s{stride}"] for stride in strides]
    sizes = [(x.shape[2], x.shape[3]) for x in maps]
    points, point_strides = points_for_levels(sizes, strides, maps[0].device)
    level_sizes = tuple(height * width for height, width in sizes)
    heads = (
        _join(outputs, "cls_logits", strides, maps[0].shape[1]),
        _join(outputs, "bbox_regression", strides, 4),
        _join(outputs, "centerness", strides, 1).squeeze(-1),
    )
    return DensePredictions(*heads, points, point_strides, level_sizes)


@dataclass(frozen=True)
class AnchorPredictions:
    """What the head says about every anchor, in the order of :class:`~hatlite.models.anchors.CellAnchors`.

    Attributes:
        cls_logits: (N, A, C) float32; with a softmax one more than there are classes, background last.
        deltas: (N, A, 4) float32, what the box coder decodes.
        sizes: (height, width) of every level in cells.
        level_sizes: Number of anchors of every level; they sum to A.
    """

    cls_logits: torch.Tensor
    deltas: torch.Tensor
    sizes: tuple[tuple[int, int], ...]
    level_sizes: tuple[int, ...]


def flatten_anchor_outputs(
    outputs: Mapping[str, torch.Tensor], strides: Sequence[int], channels: int
) -> AnchorPredictions:
    """Return the `outputs` of an anchor head by name; the channels of a cell are those of its anchors in turn.

    Args:
        outputs: ``cls_logits_s{stride}`` (N, anchors · channels, H, W), ``bbox_regression_s{stride}`` (N, anchors · 4,
            H, W).
        strides: Of the levels, in order.
        channels: Logits per anchor.
    """
    maps = [outputs[f"bbox_regression_s{stride}"] for stride in strides]
    sizes = tuple((x.shape[2], x.shape[3]) for x in maps)
    level_sizes = tuple(x[0].numel() // 4 for x in maps)
    logits = _join(outputs, "cls_logits", strides, channels)
    deltas = _join(outputs, "bbox_regression", strides, 4)
    return AnchorPredictions(logits, deltas, sizes, level_sizes)


def _join(outputs: Mapping[str, torch.Tensor], kind: str, strides: Sequence[int], channels: int) -> torch.Tensor:
    """Return (N, places of all levels, channels) float32 of one kind of output."""
    levels = [outputs[f"{kind}_s{stride}"] for stride in strides]
    return torch.cat([x.permute(0, 2, 3, 1).reshape(len(x), -1, channels) for x in levels], dim=1).float()


GRID_BOX_CHANNELS = 10
"""Two boxes with five numbers each, in front of the classes."""


@dataclass(frozen=True)
class GridPredictions:
    """What the two slots of every cell say, for G×G cells.

    Attributes:
        offsets: (N, G, G, 2, 2) float32, x and y of the centre from the cell's top left corner, in cells.
        sizes: (N, G, G, 2, 2) float32, width and height as parts of the image.
        confidence: (N, G, G, 2) float32, how sure a slot is, in IoU.
        classes: (N, G, G, C) float32, a score for each.
    """

    offsets: torch.Tensor
    sizes: torch.Tensor
    confidence: torch.Tensor
    classes: torch.Tensor


def split_grid(output: torch.Tensor) -> GridPredictions:
    """Return the parts of `output` (N, 10 + C, G, G): x, y, w, h, confidence of both slots, then the classes."""
    cells = output.permute(0, 2, 3, 1).float()
    slots = cells[..., :GRID_BOX_CHANNELS].unflatten(-1, (2, 5))
    return GridPredictions(slots[..., :2], slots[..., 2:4], slots[..., 4], cells[..., GRID_BOX_CHANNELS:])
