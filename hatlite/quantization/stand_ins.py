"""Sites for refused calls: with the shapes that they give, what reads them can be prepared as well."""

from functools import cached_property
from typing import Any

import torch

from hatlite.graph import Call, Capture
from hatlite.quantization.observer import observer
from hatlite.quantization.qconfig import QConfig
from hatlite.quantization.sites import StandInSite

__all__ = ["StandIns"]


class StandIns:
    """Makes stand-ins for the calls of one network.

    Args:
        captured: The network.
        example: (1, C, H, W) float32; None where refusals are raised, so that there are no stand-ins.
        qconfig: Says how their range is observed.

    Attributes:
        unusable: Name → module path of the refused calls whose result no site can take.
    """

    def __init__(self, captured: Capture, example: torch.Tensor | None, qconfig: QConfig) -> None:
        self.captured, self.example, self.qconfig = captured, example, qconfig
        self.unusable: dict[str, str] = {}

    @cached_property
    def results(self) -> dict[str, Any]:
        """What every call gives in float."""
        return self.captured.run(self.example)

    def make(self, call: Call) -> StandInSite | None:
        """Return a site for `call`; None where it gives neither (N, C, H, W) nor (N, C)."""
        result = self.results[call.name]
        count = len(self.example)
        if not isinstance(result, torch.Tensor) or result.ndim not in (2, 4) or len(result) != count:
            self.unusable[call.name] = call.path
            return None
        return StandInSite(
            torch.linspace(-1, 1, result.numel()).reshape(result.shape),
            name=call.name,
            path=call.path,
            line=call.line,
            inputs=(),
            dtype="int8",
            observer=observer(self.qconfig.of(call.path, type(call.module)).observer),
            scale_grid=self.qconfig.grid,
            arithmetic=self.qconfig.arithmetic,
        )
