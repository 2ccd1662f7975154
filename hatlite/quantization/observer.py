"""Range statistics of one call site: what it saw becomes the largest magnitude that its integers must hold.

Everything is symmetric (real = scale · q), so an observer keeps magnitudes only. Statistics stream: memory does not
depend on the number of images. The order of batches does not matter to ``min_max``; to the others it does by less than
a bin, since the first batch decides where the edges of the bins lie.
"""

import math

import torch

from hatlite.errors import QuantizationError
from hatlite.registry import nearest

__all__ = [
    "OBSERVERS",
    "HistogramObserver",
    "MSEObserver",
    "MinMaxObserver",
    "Observer",
    "PercentileObserver",
    "observer",
]

MIN_ABSMAX = 2.0**-16
"""Range of a site that only ever saw zeros; any positive number keeps its scale finite."""


class Observer:
    """Collects |x| and answers with a clipping magnitude."""

    def observe(self, x: torch.Tensor) -> None:
        """Take one float tensor of any shape.

        Raises:
            QuantizationError: A value is NaN or infinite.
        """
        raise NotImplementedError

    def absmax(self, quant_max: int) -> float:
        """Return the magnitude that `quant_max` shall stand for; at least ``MIN_ABSMAX``."""
        raise NotImplementedError

    def largest(self) -> float:
        """Return the largest magnitude seen."""
        raise NotImplementedError

    def share_beyond(self, magnitude: float) -> float | None:
        """Return the share of sampled values beyond `magnitude`, 0…1; None if no histogram is kept."""
        return None


class MinMaxObserver(Observer):
    """The largest magnitude ever seen."""

    def __init__(self) -> None:
        self.seen = 0.0

    def observe(self, x: torch.Tensor) -> None:
        low, high = map(float, torch.aminmax(x.detach()))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise QuantizationError(
                "calibration met a value that is NaN or infinite; the float weights are broken, train them again."
            )
        self.seen = max(self.seen, -low, high)

    def absmax(self, quant_max: int) -> float:
        return max(self.seen, MIN_ABSMAX)

    def largest(self) -> float:
        return self.seen


class HistogramObserver(Observer):
    """A histogram of |x| whose range doubles when it is outgrown, so that earlier counts stay exact.

    Counts are taken on a fixed sample, every 16th value of a large tensor and all of a small one; the largest magnitude
    is taken over everything.

    Args:
        bins: Number of equal bins from 0 to the current range; even.
    """

    MAX_STRIDE = 16
    SAMPLE = 4096

    def __init__(self, bins: int = 2048) -> None:
        self.counts = torch.zeros(bins, dtype=torch.float64)
        self.range = 0.0
        self.seen = MinMaxObserver()

    def observe(self, x: torch.Tensor) -> None:
        self.seen.observe(x)
        self._grow(self.seen.absmax(0))
        stride = min(max(x.numel() // self.SAMPLE, 1), self.MAX_STRIDE)
        sample = x.detach().reshape(-1)[::stride].abs().float()
        self.counts += torch.histc(sample, len(self.counts), 0.0, self.range).double().cpu()

    def _grow(self, absmax: float) -> None:
        if self.range == 0.0:
            self.range = absmax
        while self.range < absmax:
            halved = self.counts.reshape(-1, 2).sum(1)
            self.counts = torch.cat([halved, torch.zeros_like(halved)])
            self.range *= 2.0

    def largest(self) -> float:
        return self.seen.largest()

    def share_beyond(self, magnitude: float) -> float:
        beyond = self.counts[self.centers() > magnitude].sum()
        return float(beyond / self.counts.sum().clamp_min(1.0))

    def centers(self) -> torch.Tensor:
        """Return the (bins,) float64 middles of the bins."""
        width = self.range / len(self.counts)
        return (torch.arange(len(self.counts), dtype=torch.float64) + 0.5) * width


class PercentileObserver(HistogramObserver):
    """The magnitude below which `percentile` percent of the sampled values lie."""

    def __init__(self, percentile: float = 99.99, bins: int = 2048) -> None:
        super().__init__(bins)
        if not 0.0 < percentile <= 100.0:
            raise QuantizationError(f"PercentileObserver: percentile is {percentile}; expected 0 < percentile <= 100.")
        self.percentile = percentile

    def absmax(self, quant_max: int) -> float:
        below = torch.cumsum(self.counts, 0)
        if below[-1] == 0:
            return MIN_ABSMAX
        index = int(torch.searchsorted(below, below[-1] * (self.percentile / 100.0)))
        edge = (min(index, len(below) - 1) + 1) * self.range / len(below)
        return max(min(edge, self.seen.absmax(quant_max)), MIN_ABSMAX)


class MSEObserver(HistogramObserver):
    """The magnitude with the least squared error of quantise-and-back, over the histogram.

    Candidates are 100 clips from 20 % to 100 % of the largest magnitude. Rounding inside the clip costs scale²/12 a
    value, what lies outside costs its distance to the clip, squared.
    """

    CANDIDATES = 100

    def absmax(self, quant_max: int) -> float:
        top = self.seen.absmax(quant_max)
        clips = torch.linspace(0.2, 1.0, self.CANDIDATES, dtype=torch.float64) * top
        x = self.centers()
        beyond = (x[None, :] - clips[:, None]).clamp_min(0.0)  # (candidates, bins)
        inside = (beyond == 0.0).double()
        errors = (self.counts * (beyond**2 + inside * ((clips / quant_max) ** 2 / 12.0)[:, None])).sum(1)
        # Equal errors (an empty histogram) take the widest range.
        best = int(torch.nonzero(errors == errors.min())[-1])
        return max(float(clips[best]), MIN_ABSMAX)


OBSERVERS = {"min_max": MinMaxObserver, "mse": MSEObserver, "percentile": PercentileObserver}
"""Observers by the names that configs use."""


def observer(name: str) -> Observer:
    """Make a fresh observer.

    Raises:
        QuantizationError: `name` is none of :data:`OBSERVERS`.
    """
    if name not in OBSERVERS:
        known = ", ".join(sorted(OBSERVERS))
        raise QuantizationError(f"There is no observer {name!r}; known are {known}.{nearest(name, list(OBSERVERS))}")
    return OBSERVERS[name]()
