"""Non-maximum suppression."""

import importlib
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import torch

__all__ = ["class_aware_nms"]

# So many of the best are tried first, because work grows with the square; a survivor among them survives among all.
_FIRST_PREFIX = 1000


def _load_kernels() -> None:
    """Load torchvision's compiled kernels into ``torch.ops.torchvision``, and no more of it where that can be.

    Its package brings models and torch's compiler along, which takes as long to import as torch.
    """
    folders = find_spec("torchvision").submodule_search_locations  # type: ignore[union-attr]
    files = [file for folder in folders or () for file in sorted(Path(folder).glob("_C*"))]
    libraries = [file for file in files if file.name.endswith(tuple(EXTENSION_SUFFIXES))]
    for library in libraries:
        torch.ops.load_library(library)
    if not libraries:  # a build with another layout
        importlib.import_module("torchvision.ops")


_load_kernels()


def class_aware_nms(
    boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, iou_threshold: float, max_keep: int | None = None
) -> torch.Tensor:
    """Return the indices (K,) int64 of the boxes that survive, best first.

    A box falls when a better one of the same class covers it with IoU > `iou_threshold`. Of equal scores the earlier
    box wins, so that equal inputs always give equal results.

    Args:
        boxes: (N, 4), xyxy, in coordinates ≥ 0.
        scores: (N,), higher is better.
        labels: (N,) int64, boxes of different classes never suppress one another.
        iou_threshold: 0…1.
        max_keep: At most so many survive.
    """
    order = torch.sort(scores, descending=True, stable=True).indices
    # Every class is moved to a place of its own; float64 keeps the fractions of a pixel that float32 would lose there.
    exact = boxes[order].double()
    apart = exact + (labels[order] * (exact.amax() + 1 if len(exact) else 0))[:, None]
    rank = torch.arange(len(order), 0, -1, dtype=torch.float64, device=boxes.device)
    wanted = len(order) if max_keep is None else max_keep
    prefix = min(_FIRST_PREFIX if max_keep is not None else len(order), len(order))
    while True:
        kept = torch.ops.torchvision.nms(apart[:prefix], rank[:prefix], iou_threshold)
        if len(kept) >= wanted or prefix == len(order):
            return order[kept[:wanted]]
        prefix = min(4 * prefix, len(order))
