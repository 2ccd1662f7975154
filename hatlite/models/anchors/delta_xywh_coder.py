"""A box as a correction of an anchor. Girshick et al., Rich Feature Hierarchies (R-CNN), CVPR 2014, appendix C."""

import math
from collections.abc import Sequence

import torch

from hatlite.errors import BuildError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["LARGEST_GROWTH", "DeltaXYWHCoder"]

LARGEST_GROWTH = math.log(1000 / 16)
"""Of a side, as a logarithm: an untrained head must not make infinite boxes."""
_SMALLEST_SIDE = 1e-6  # pixels; keeps the logarithm of an empty box finite


@OBJECT_REGISTRY.register(alias="DeltaXYWHBBoxCoder")
class DeltaXYWHCoder:
    """Shift of the centre in anchor sides, and logarithm of the growth of the sides; less `means`, over `stds`.

    Args:
        means: Of dx, dy, dw, dh.
        stds: Of dx, dy, dw, dh; also called variances. (0.1, 0.1, 0.2, 0.2) makes the head answer in numbers near 1.

    Raises:
        BuildError: These are not four numbers each, `stds` above 0.
    """

    def __init__(self, means: Sequence[float] = (0, 0, 0, 0), stds: Sequence[float] = (0.1, 0.1, 0.2, 0.2)) -> None:
        if len(means) != 4 or len(stds) != 4 or min(stds) <= 0:
            raise BuildError(
                f"DeltaXYWHCoder: means is {list(means)} and stds {list(stds)}; expected four numbers each, for dx, "
                "dy, dw, dh, and stds above 0."
            )
        self.means, self.stds = tuple(means), tuple(stds)

    def encode(self, anchors: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Return the (…, 4) corrections that turn `anchors` (…, 4) into `boxes` (…, 4), both xyxy."""
        centre, side = _centre_and_side(anchors)
        box_centre, box_side = _centre_and_side(boxes)
        growth = (box_side.clamp(min=_SMALLEST_SIDE) / side).log()
        deltas = torch.cat([(box_centre - centre) / side, growth], dim=-1)
        return (deltas - deltas.new_tensor(self.means)) / deltas.new_tensor(self.stds)

    def decode(self, anchors: torch.Tensor, deltas: torch.Tensor) -> torch.Tensor:
        """Return the (…, 4) boxes; the inverse of :meth:`encode` up to a growth of 62.5."""
        deltas = deltas * deltas.new_tensor(self.stds) + deltas.new_tensor(self.means)
        centre, side = _centre_and_side(anchors)
        moved = centre + deltas[..., :2] * side
        half = deltas[..., 2:].clamp(max=LARGEST_GROWTH).exp() * side / 2
        return torch.cat([moved - half, moved + half], dim=-1)


def _centre_and_side(boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
