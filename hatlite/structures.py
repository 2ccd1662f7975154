"""Values that cross between the parts of a detector."""

from dataclasses import dataclass

import torch

__all__ = ["Detections"]


@dataclass(frozen=True)
class Detections:
    """What was found in one image, best first.

    Attributes:
        boxes: (N, 4) float32, xyxy, pixels of the original image, 0 ≤ x1 ≤ x2 ≤ W, 0 ≤ y1 ≤ y2 ≤ H.
        scores: (N,) float32 in 0…1, descending.
        labels: (N,) int64, class indices from 0.
    """

    boxes: torch.Tensor
    scores: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.scores)
