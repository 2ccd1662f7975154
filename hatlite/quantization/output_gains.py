"""Outputs whose channels reach differently far: each gets a gain behind the integers, and all share one range.

With 5 bits the steps of an output count. One range for all its channels is that of the largest; scaled rows of the
layer in front let every channel use all of its steps, and the stub that leaves the integers takes the factors back.
"""

import copy

import torch

from hatlite.errors import QuantizationError
from hatlite.log import get_logger
from hatlite.nn import DeQuantStub
from hatlite.quantization.observer import Observer
from hatlite.quantization.sites import ConvSite, Site

__all__ = ["ChannelObserver", "share_range"]

logger = get_logger(__name__)

SMALLEST_SHARE = 1 / 16
"""Of the largest range: rows share one weight scale, so that one that is scaled further up would cost the others."""


class ChannelObserver(Observer):
    """One observer for each channel; together they answer with the largest of their magnitudes.

    Args:
        kind: What every channel is observed by; it has seen nothing.
    """

    def __init__(self, kind: Observer) -> None:
        super().__init__()
        self.kind = kind
        self.name = kind.name
        self.channels: list[Observer] = []

    def of_step(self) -> Observer:
        return self.kind.of_step()

    def observe(self, x: torch.Tensor, relu: bool = False) -> None:
        if not self.channels:
            self.channels = [copy.deepcopy(self.kind) for _ in range(x.shape[1])]
        for observer, channel in zip(self.channels, x.split(1, dim=1), strict=True):
            observer.observe(channel.contiguous(), relu)
        self.seen = max(observer.seen for observer in self.channels)

    def merge(self, other: Observer) -> None:
        assert isinstance(other, ChannelObserver)
        if not self.channels:
            self.channels = [copy.deepcopy(self.kind) for _ in other.channels]
        super().merge(other)
        for own, theirs in zip(self.channels, other.channels, strict=True):
            own.merge(theirs)

    def absmax(self, quant_max: int) -> float:
        return max((observer.absmax(quant_max) for observer in self.channels), default=self.kind.absmax(quant_max))

    def choice(self, quant_max: int) -> str:
        return f"{self.name}, each channel its own"

    def share_beyond(self, magnitude: float) -> float | None:
        """Return the mean of the shares of all channels, each beyond its part of `magnitude`, the largest range."""
        ranges = self.ranges(1)
        parts = [
            observer.share_beyond(magnitude * float(own / ranges.amax()))
            for observer, own in zip(self.channels, ranges, strict=True)
        ]
        known = [part for part in parts if part is not None]
        return sum(known) / len(known) if known else None

    def ranges(self, quant_max: int) -> torch.Tensor:
        """Return (C,) float64: the magnitude of each channel, a sixteenth of the largest at least.

        A channel that never was anything but 0 has the largest.
        """
        asked = torch.tensor([observer.absmax(quant_max) for observer in self.channels], dtype=torch.float64)
        asked[[observer.seen == 0 for observer in self.channels]] = asked.amax()
        return asked.clamp_min(float(asked.amax()) * SMALLEST_SHARE)


@torch.no_grad()
def share_range(site: Site, stub: DeQuantStub) -> None:
    """Scale the rows of the layer in front of `stub` so that all its channels reach equally far, if they were observed.

    Args:
        site: Of the convolution or linear layer, which nothing else calls or reads.
        stub: Its gain takes the factors back.

    Raises:
        QuantizationError: The site is no layer, has a batch norm, or the stub knows no channels.
    """
    if not isinstance(site.observer, ChannelObserver):
        return
    if not isinstance(site, ConvSite) or site.layers[1] is not None or stub.gain is None:
        raise QuantizationError(
            f"{site.path} ({site.line}) cannot give its channels gains of their own; that takes a convolution or linear"
            " layer without batch norm in front of a DeQuantStub that was given its channels. Set"
            " config['qconfig']['output_gains'] to 'shared'."
        )
    ranges = site.observer.ranges(site.quant_max).to(stub.gain.device)
    factors = ranges.amax() / ranges
    layer = site.layer
    layer.weight.mul_(factors.to(layer.weight).reshape(-1, *[1] * (layer.weight.ndim - 1)))
    if layer.bias is not None:
        layer.bias.mul_(factors.to(layer.bias))
    stub.gain.div_(factors)
    least, most = float(ranges.amin()), float(ranges.amax())
    logger.info("%s: its channels reach from %.4g to %.4g; each has a gain of its own.", site.path, least, most)
