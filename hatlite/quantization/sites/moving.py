"""Sites that choose among pixels and channels or move them: constant parts, and channels that become pixels."""

import torch

from hatlite.errors import CaptureError
from hatlite.graph import Selection
from hatlite.quantization.sites.others import PassingSite

__all__ = ["DepthToSpaceSite", "SliceSite"]

Pair = tuple[int, int]


class SliceSite(PassingSite):
    """A part of the channels, rows and columns.

    Args:
        selection: What is taken, as the network has written it.
        site: What :class:`Site` takes.
    """

    def __init__(self, selection: Selection, **site: object) -> None:
        super().__init__(**site)  # type: ignore[arg-type]
        self.selections = (selection,)  # a tuple, so that it is no child: it has no parameters
        self._taken: tuple[tuple[int, ...], tuple[range, ...]] = ((), ())

    def ranges(self, shape: tuple[int, ...]) -> tuple[range, ...]:
        """Return the channels, rows and columns that it takes of a picture of `shape`, (C, H, W) or (C,).

        Raises:
            CaptureError: Nothing is left, the batch would be cut, or torch refuses; with module path and source line.
        """
        if self._taken[0] == shape:
            return self._taken[1]
        try:
            self._taken = (shape, self.selections[0].ranges(shape))
        except (ValueError, IndexError, TypeError, RuntimeError) as problem:
            reason = str(problem).strip().partition("\n")[0].rstrip(".")
            raise CaptureError(
                f"{self.path} ({self.line}) takes a part of {self.inputs[0].path}, of shape {tuple(shape)}: {reason}.",
                name=self.path,
                path=self.line,
            ) from None
        return self._taken[1]

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        taken = self.ranges(tuple(inputs[0].shape[1:]))
        return inputs[0][:, *(slice(part.start, part.stop, part.step) for part in taken)]


class DepthToSpaceSite(PassingSite):
    """Channels become pixels: channel (c · h + i) · w + j of a pixel becomes pixel (i, j) of its block, channel c.

    Args:
        block: (h, w), pixels that one pixel becomes.
        site: What :class:`Site` takes.
    """

    def __init__(self, block: Pair, **site: object) -> None:
        super().__init__(**site)  # type: ignore[arg-type]
        self.block = block

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        height, width = self.block
        blocks = inputs[0].unflatten(1, (-1, height, width))  # N C h w H W
        return blocks.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)
