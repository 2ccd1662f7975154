"""The same few boxes around every cell of a level."""

from collections.abc import Sequence

import torch

from hatlite.models.agreement import rising_strides
from hatlite.ops.boxes import points_for_levels

__all__ = ["CellAnchors"]


class CellAnchors:
    """Anchors of several levels, each level with sizes of its own.

    Args:
        strides: Pixels per cell of every level, fine to coarse.
        cells: Per level the (width, height) of the anchors of one cell, in pixels.
        center_offset: Where in its cell an anchor's centre lies, 0 (top left) … 1; 0.5 is the middle.
        input_size: (height, width) of the one image size that the anchors are made for; None for any.

    Raises:
        BuildError: The strides do not rise.
    """

    def __init__(
        self,
        strides: Sequence[int],
        cells: Sequence[Sequence[tuple[float, float]]],
        center_offset: float = 0.5,
        input_size: tuple[int, int] | None = None,
    ) -> None:
        self.strides = rising_strides(f"{type(self).__name__}: strides", strides)
        self.cells = tuple(tuple(cell) for cell in cells)
        self.center_offset, self.input_size = center_offset, input_size

    @property
    def num_anchors(self) -> tuple[int, ...]:
        """Anchors per cell, of every level."""
        return tuple(len(cell) for cell in self.cells)

    def anchors(self, sizes: Sequence[tuple[int, int]], device: torch.device | None = None) -> torch.Tensor:
        """Return all anchors (A, 4) float32, xyxy in pixels of the network input.

        They follow one another level after level, row after row, cell after cell, and may reach beyond the image.

        Args:
            sizes: (height, width) of every level in cells.
            device: Where the result lives.
        """
        levels = []
        for size, stride, cell in zip(sizes, self.strides, self.cells, strict=True):
            middle, _ = points_for_levels([size], [stride], device)
            centre = middle + (self.center_offset - 0.5) * stride  # (cells, 2)
            half = torch.tensor(cell, dtype=torch.float32, device=device) / 2  # (anchors of a cell, 2)
            corners = (centre[:, None] - half, centre[:, None] + half)
            levels.append(torch.cat(corners, dim=-1).reshape(-1, 4))
        return torch.cat(levels)
