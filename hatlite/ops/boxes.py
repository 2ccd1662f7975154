"""Boxes, points and what lies between them.

Legend: P points, M pairs. Boxes are (…, 4) float, xyxy, x1 ≤ x2 and y1 ≤ y2. `ltrb` are the (…, 4) distances from a
point to the left, top, right and bottom side of a box; all are positive when the point lies inside.
"""

from collections.abc import Sequence

import torch

__all__ = [
    "apply_matrix",
    "boxes_to_original",
    "clip_boxes",
    "decode_boxes",
    "encode_boxes",
    "geometric_centerness",
    "giou",
    "iou",
    "overlap",
    "points_for_levels",
]

_EPS = 1e-7  # keeps 0/0 of two empty boxes finite; far below any area in pixels


def points_for_levels(
    sizes: Sequence[tuple[int, int]], strides: Sequence[int], device: torch.device | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the centres of all cells, level after level, row after row.

    Args:
        sizes: (height, width) of every level in cells.
        strides: Pixels per cell of every level.
        device: Where the result lives.

    Returns:
        points: (P, 2) float32, x and y in pixels of the network input, ``(index + 0.5) · stride``.
        strides: (P,) float32, the stride of each point's level.
    """
    points, point_strides = [], []
    for (height, width), stride in zip(sizes, strides, strict=True):
        y = (torch.arange(height, dtype=torch.float32, device=device) + 0.5) * stride
        x = (torch.arange(width, dtype=torch.float32, device=device) + 0.5) * stride
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
        points.append(torch.stack([grid_x, grid_y], dim=-1).reshape(-1, 2))
        point_strides.append(torch.full((height * width,), float(stride), device=device))
    return torch.cat(points), torch.cat(point_strides)


def encode_boxes(points: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Return the (…, 4) ltrb distances from `points` (…, 2) to the sides of `boxes` (…, 4)."""
    return torch.cat([points - boxes[..., :2], boxes[..., 2:] - points], dim=-1)


def decode_boxes(points: torch.Tensor, ltrb: torch.Tensor) -> torch.Tensor:
    """Return the (…, 4) boxes whose sides lie `ltrb` away from `points`; the inverse of :func:`encode_boxes`."""
    return torch.cat([points - ltrb[..., :2], points + ltrb[..., 2:]], dim=-1)


def geometric_centerness(ltrb: torch.Tensor) -> torch.Tensor:
    """Return ``sqrt(min(l, r) / max(l, r) · min(t, b) / max(t, b))`` (…,), 1 in the middle of a box and 0 on its sides.

    Tian et al., FCOS: Fully Convolutional One-Stage Object Detection, ICCV 2019, equation 3.
    """
    low = torch.minimum(ltrb[..., :2], ltrb[..., 2:]).clamp(min=0)
    high = torch.maximum(ltrb[..., :2], ltrb[..., 2:]).clamp(min=_EPS)
    return (low / high).prod(dim=-1).sqrt()


def overlap(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the areas (…,) of intersection and union of paired (broadcast) boxes."""
    sides = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    intersection = sides[..., 0] * sides[..., 1]
    area_a = (a[..., 2] - a[..., 0]) * (a[..., 3] - a[..., 1])
    area_b = (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
    return intersection, area_a + area_b - intersection


def iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return intersection over union (…,) in 0…1 of paired (broadcast) boxes; 0 for two empty ones."""
    intersection, union = overlap(a, b)
    return intersection / union.clamp(min=_EPS)


def giou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the generalised IoU (…,) in −1…1 of paired (broadcast) boxes.

    ``IoU − (hull − union) / hull`` with the smallest box around both as hull: Rezatofighi et al., CVPR 2019.
    """
    intersection, union = overlap(a, b)
    sides = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    hull = sides[..., 0] * sides[..., 1]
    return intersection / union.clamp(min=_EPS) - (hull - union) / hull.clamp(min=_EPS)


def clip_boxes(boxes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return `boxes` (N, 4) cut off at an image of `size` (height, width)."""
    height, width = size
    x = boxes[..., 0::2].clamp(0, width)
    y = boxes[..., 1::2].clamp(0, height)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1)


def apply_matrix(boxes: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Return the upright boxes (N, 4) around `boxes` (N, 4) after an affine map.

    Args:
        boxes: xyxy.
        matrix: (3, 3), maps column vectors (x, y, 1); the last row is (0, 0, 1). The sums run in its precision.
    """
    corners = boxes.to(matrix.dtype)[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    moved = corners @ matrix[:2, :2].T + matrix[:2, 2]
    return torch.cat([moved.amin(dim=1), moved.amax(dim=1)], dim=-1).to(boxes.dtype)


def boxes_to_original(boxes: torch.Tensor, matrix: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return `boxes` (N, 4) of the network input in pixels of the original image, clipped to it.

    Args:
        boxes: xyxy, pixels of the network input.
        matrix: (3, 3) float64, maps original pixels to network input pixels.
        size: (height, width) of the original image.
    """
    inverse = torch.linalg.inv(torch.as_tensor(matrix, dtype=torch.float64)).to(boxes.device)
    return clip_boxes(apply_matrix(boxes, inverse), size)
