"""Which cell of a grid learns which object: the one that its centre lies in.

Legend: N images, G cells per side, C classes, T objects of all images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.agreement import agree
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["GridTarget", "GridTargets"]

SEVERAL = ("largest", "nearest", "last")


@dataclass(frozen=True)
class GridTargets:
    """What every cell should say.

    Attributes:
        positive: (N, G, G) bool, cells that have an object.
        empty: (N, G, G) bool, cells that should find nothing; regions to ignore are neither.
        offsets: (N, G, G, 2) float32, x and y of the object's centre from the cell's top left corner, 0…1 in cells.
        sizes: (N, G, G, 2) float32, width and height as parts of the image.
        classes: (N, G, G, C) float32, 1 for the object's class. All three are 0 where there is no object.
    """

    positive: torch.Tensor
    empty: torch.Tensor
    offsets: torch.Tensor
    sizes: torch.Tensor
    classes: torch.Tensor


@OBJECT_REGISTRY.register
class GridTarget(nn.Module):
    """Give every object to the cell whose centre is nearest to its own, which is the one that it lies in.

    A centre on the border of two cells belongs to the upper and left one. A cell learns one object; of several the
    others are lost, and `several` says which one stays, so that equal images have equal targets. Cells whose centre
    lies in a region to ignore (class −1) are not told that they are empty.

    Args:
        grid_size: Cells per side.
        several: ``"largest"``, of which the cell sees most; ``"nearest"`` to the centre of the cell; or ``"last"`` in
            the order of the annotation. Of equal ones the first stays.
        multi_hot: A cell learns the classes of all its objects, else that of the one which stays.
        num_classes: Number of classes; None takes it from the head.

    Raises:
        BuildError: `grid_size` is below 1, or `several` is another word.
    """

    def __init__(
        self,
        grid_size: int = 14,
        *,
        several: str = "largest",
        multi_hot: bool = False,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        if grid_size < 1:
            raise BuildError(f"GridTarget: grid_size is {grid_size}; expected 1 cell or more, 14 for GNet.")
        if several not in SEVERAL:
            raise BuildError(f"GridTarget: several is {several!r}; expected one of {', '.join(SEVERAL)}.")
        self.grid_size, self.several, self.multi_hot = grid_size, several, multi_hot
        self.num_classes = num_classes

    def bind(self, num_classes: int) -> None:
        """Take the number of classes from the head, or compare it.

        Raises:
            BuildError: They differ; the message names both places.
        """
        mine = ("targets.num_classes", self.num_classes)
        self.num_classes = agree("the number of classes", ("head.num_classes", num_classes), mine)

    @torch.no_grad()
    def forward(
        self, boxes: Sequence[torch.Tensor], classes: Sequence[torch.Tensor], size: tuple[int, int]
    ) -> GridTargets:
        """Return the targets of all cells, on the device of the first image's boxes.

        Args:
            boxes: Per image (n, 4) float32 xyxy, pixels of the network input; n may be 0.
            classes: Per image (n,) int64; −1 marks a region to ignore.
            size: (height, width) of the network input.
        """
        counts = torch.tensor([len(image) for image in boxes])
        device = boxes[0].device
        image = torch.repeat_interleave(torch.arange(len(boxes)), counts).to(device)
        corners = torch.cat([one.reshape(-1, 4) for one in boxes]).float()
        kinds = torch.cat([one.reshape(-1) for one in classes]).to(device)
        sides = corners.new_tensor([size[1], size[0]])
        real = kinds >= 0
        ignored = self._ignored(image[~real], corners[~real], sides, len(boxes))
        # A cell of 2^n pixels makes the factor a power of two, so that a centre on a border stays on it.
        centre = (corners[real, :2] + corners[real, 2:]) * (self.grid_size / 2 / sides)
        extent = (corners[real, 2:] - corners[real, :2]) / sides
        return self._write(image[real], centre, extent, kinds[real], ignored)

    def _write(
        self,
        image: torch.Tensor,
        centre: torch.Tensor,
        extent: torch.Tensor,
        kinds: torch.Tensor,
        ignored: torch.Tensor,
    ) -> GridTargets:
        """Return the targets of T objects: `centre` (T, 2) in cells, `extent` (T, 2) as parts of the image."""
        grid, shape = self.grid_size, ignored.shape
        column_row = (centre.ceil() - 1).clamp(0, grid - 1)
        cell = (image * grid + column_row[:, 1].long()) * grid + column_row[:, 0].long()
        stays = self._stays(cell, extent, centre - column_row)
        offsets, sizes, labels = (extent.new_zeros(ignored.numel(), width) for width in (2, 2, self.num_classes))
        offsets[cell[stays]] = (centre - column_row)[stays]
        sizes[cell[stays]] = extent[stays]
        taught = slice(None) if self.multi_hot else stays
        labels[cell[taught], kinds[taught]] = 1.0
        positive = torch.zeros_like(ignored).flatten()
        positive[cell] = True
        positive = positive.reshape(shape)
        targets = (values.reshape(*shape, -1) for values in (offsets, sizes, labels))
        return GridTargets(positive, ~positive & ~ignored, *targets)

    def _stays(self, cell: torch.Tensor, extent: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Return the indices of the objects that stay, one for each cell that has any."""
        if self.several == "largest":
            rank = -extent.prod(dim=1)
        elif self.several == "nearest":
            rank = (offsets - 0.5).abs().sum(dim=1)
        else:
            rank = -torch.arange(len(cell), device=cell.device)
        order = torch.sort(rank, stable=True).indices
        order = order[torch.sort(cell[order], stable=True).indices]
        first = torch.ones_like(order, dtype=torch.bool)
        first[1:] = cell[order][1:] != cell[order][:-1]
        return order[first]

    def _ignored(self, image: torch.Tensor, regions: torch.Tensor, sides: torch.Tensor, count: int) -> torch.Tensor:
        """Return (N, G, G) bool: the centre of the cell lies in one of the `regions` (R, 4), xyxy in pixels."""
        ignored = torch.zeros(count, self.grid_size, self.grid_size, dtype=torch.bool, device=regions.device)
        middle = (torch.arange(self.grid_size, device=regions.device) + 0.5) * (sides[:, None] / self.grid_size)
        inside = (regions[:, :2, None] <= middle) & (middle < regions[:, 2:, None])  # [R, 2, G]
        for index, (x, y) in zip(image.tolist(), inside, strict=True):
            ignored[index] |= y[:, None] & x[None, :]
        return ignored
