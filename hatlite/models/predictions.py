"""The outputs of a dense head, all levels in one row.

Legend: N images, P points of all levels, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from hatlite.ops.boxes import points_for_levels

__all__ = ["DensePredictions", "flatten_outputs"]


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

    def join(kind: str) -> torch.Tensor:
        levels = [outputs[f"{kind}_s{stride}"] for stride in strides]
        return torch.cat([x.permute(0, 2, 3, 1).flatten(1, 2) for x in levels], dim=1).float()

    maps = [outputs[f"cls_logits_s{stride}"] for stride in strides]
    sizes = [(x.shape[2], x.shape[3]) for x in maps]
    points, point_strides = points_for_levels(sizes, strides, maps[0].device)
    level_sizes = tuple(height * width for height, width in sizes)
    heads = (join("cls_logits"), join("bbox_regression"), join("centerness").squeeze(-1))
    return DensePredictions(*heads, points, point_strides, level_sizes)
