"""What stands for a refused call, so that a graph can be looked at behind it; see ``hatlite/graph/refusal.py``."""

import torch

from hatlite.errors import QuantizationError
from hatlite.quantization.sites.base import Site

__all__ = ["StandInSite"]


class StandInSite(Site):
    """A value from nowhere, as a second image would be: −1…1 in the shape that the refused call gives.

    Args:
        values: (1, C, H, W) or (1, C) float32: what it gives in float.
        site: What :class:`Site` takes.
    """

    def __init__(self, values: torch.Tensor, **site: object) -> None:
        super().__init__(**site)  # type: ignore[arg-type]
        self.values = values

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.observe(self.values)

    def forward_integer(self, *inputs: torch.Tensor) -> torch.Tensor:
        raise QuantizationError(
            f"{self.path} ({self.line}) stands for an operation that was refused; it can be looked at, not run."
            " Prepare the network without collecting refusals."
        )
