"""Range statistics of one call site: what it saw becomes the largest magnitude that its integers must hold.

Everything is symmetric (real = scale · q), so an observer keeps magnitudes only. Statistics stream: memory does not
depend on the number of images, and neither the order of the batches nor how they were shared out among processes
changes a bit of them. ``min_max`` looks at every value; the others keep a histogram of a fixed sample of about one
value in sixteen (:mod:`hatlite.quantization.sampling`), and what they do not sample does not exist for them.
"""

import inspect
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import torch

from hatlite.errors import QuantizationError
from hatlite.quantization.clipping import Histogram, error_of, kl_clip, mse_clip, percentile_clip
from hatlite.quantization.sampling import in_memory_order, magnitudes
from hatlite.registry import nearest

__all__ = [
    "OBSERVERS",
    "HistogramObserver",
    "KLObserver",
    "MSEObserver",
    "MeanPercentileObserver",
    "MinMaxObserver",
    "MixObserver",
    "Observer",
    "PercentileObserver",
    "observer",
]

MIN_ABSMAX = 2.0**-16
"""Range of a site that only ever saw zeros; any positive number keeps its scale finite."""
LIMIT = 2.0**127
"""No magnitude of a working network comes near."""


class Observer:
    """Collects |x| and answers with a clipping magnitude.

    Attributes:
        name: What configs call it.
    """

    name = ""

    def __init__(self) -> None:
        self.seen = 0.0

    def observe(self, x: torch.Tensor, relu: bool = False) -> None:
        """Take one float tensor, (N, C, H, W) or (N, C); with `relu` negative values count as 0.

        Raises:
            QuantizationError: A value that it looks at is NaN, infinite or beyond 2^127.
        """
        raise NotImplementedError

    def merge(self, other: "Observer") -> None:
        """Take over what `other`, an observer made alike, has seen; the same as having seen it here, to the bit."""
        self.seen = max(self.seen, other.seen)

    def of_step(self) -> "Observer":
        """Return an observer of this kind that has seen nothing, for one step of training alone."""
        return type(self)()

    def absmax(self, quant_max: int) -> float:
        """Return the magnitude that `quant_max` shall stand for; at least ``MIN_ABSMAX``."""
        raise NotImplementedError

    def largest(self) -> float:
        """Return the largest magnitude that it looked at."""
        return self.seen

    def choice(self, quant_max: int) -> str:
        """Return the name of the rule that :meth:`absmax` follows."""
        return self.name

    def share_beyond(self, magnitude: float) -> float | None:
        """Return the share of sampled values beyond `magnitude`, 0…1, to the bin; None if no histogram is kept."""
        return None

    def see(self, largest: float) -> None:
        """Note a magnitude.

        Raises:
            QuantizationError: It is NaN, infinite or beyond 2^127.
        """
        if not largest < LIMIT:
            raise QuantizationError(
                "calibration met a value that is NaN, infinite or beyond 2^127; the float weights are broken, train"
                " them again."
            )
        self.seen = max(self.seen, largest)


class MinMaxObserver(Observer):
    """The largest magnitude ever seen, over all values."""

    name = "min_max"

    def observe(self, x: torch.Tensor, relu: bool = False) -> None:
        low, high = map(float, torch.aminmax(in_memory_order(x.detach())))
        self.see(max(0.0 if relu else -low, high) if low <= high else math.nan)  # max alone would drop a NaN

    def absmax(self, quant_max: int) -> float:
        return max(self.seen, MIN_ABSMAX)


class HistogramObserver(Observer):
    """A histogram of the sampled |x|, from 0 to a power of two that doubles when it is outgrown.

    Edges of bins are then edges of the finer bins before, so that earlier counts stay exact and histograms add up.

    Args:
        bins: Number of equal bins from 0 to the current range; even.
    """

    def __init__(self, bins: int = 4096) -> None:
        super().__init__()
        if not isinstance(bins, int) or isinstance(bins, bool) or bins < 2 or bins % 2:
            raise QuantizationError(
                f"Observer {self.name!r}: bins is {bins!r}; expected an even whole number from 2 up."
            )
        self.counts = torch.zeros(bins, dtype=torch.int64)
        self.range = MIN_ABSMAX

    def of_step(self) -> Observer:
        return type(self)(bins=len(self.counts))

    def observe(self, x: torch.Tensor, relu: bool = False) -> None:
        sample = magnitudes(x, relu)
        largest = float(sample.max())
        self.see(largest)
        self._grow(math.ldexp(1.0, math.frexp(largest)[1]))  # the power of two above it
        # A product with a power of two is exact, so that equal values meet in one bin whatever the range.
        bins = sample.mul_(len(self.counts) / self.range).int()
        self.counts += torch.bincount(bins, minlength=len(self.counts)).cpu()

    def merge(self, other: Observer) -> None:
        super().merge(other)
        assert isinstance(other, HistogramObserver) and len(other.counts) == len(self.counts)
        self._grow(other.range)
        self.counts += _coarser(other.counts, other.range, self.range)

    def _grow(self, wanted: float) -> None:
        if self.range < wanted:
            self.counts = _coarser(self.counts, self.range, wanted)
            self.range = wanted

    def histogram(self) -> Histogram:
        """Return what was sampled."""
        return Histogram(self.counts.double(), self.range / len(self.counts), self.seen)

    def share_beyond(self, magnitude: float) -> float:
        histogram = self.histogram()
        beyond = histogram.counts[histogram.centers > magnitude].sum()
        return float(beyond / histogram.counts.sum().clamp_min(1.0))

    def absmax(self, quant_max: int) -> float:
        if self.seen <= MIN_ABSMAX:
            return MIN_ABSMAX
        return max(self.clip(self.histogram(), quant_max), MIN_ABSMAX)

    def clip(self, histogram: Histogram, quant_max: int) -> float:
        """Return the magnitude to clip at, given a histogram that is not of zeros alone."""
        raise NotImplementedError


class PercentileObserver(HistogramObserver):
    """The magnitude below which `percentile` percent of the sampled values lie."""

    name = "percentile"

    def __init__(self, percentile: float = 99.99, bins: int = 4096) -> None:
        super().__init__(bins)
        number = isinstance(percentile, (int, float)) and not isinstance(percentile, bool)
        if not (number and 0.0 < percentile <= 100.0):
            raise QuantizationError(
                f"Observer {self.name!r}: percentile is {percentile!r}; expected a number, 0 < percentile <= 100."
            )
        self.percentile = percentile

    def of_step(self) -> Observer:
        return type(self)(self.percentile, len(self.counts))

    def clip(self, histogram: Histogram, quant_max: int) -> float:
        return percentile_clip(histogram, self.percentile)


class MeanPercentileObserver(PercentileObserver):
    """The mean, over batches, of the magnitude below which `percentile` percent of the batch's sampled values lie.

    It is the running mean that TI's toolkit takes of ranges shrunk by 0.01 %: rare large values count in their batch
    alone. The sum is exact, so that neither order nor sharing out changes it.
    """

    name = "mean_percentile"

    def __init__(self, percentile: float = 99.99, bins: int = 4096) -> None:
        super().__init__(percentile, bins)
        self.total, self.batches = Fraction(), 0

    def of_step(self) -> Observer:
        return PercentileObserver(self.percentile, len(self.counts))  # the batches of a step, wherever, are one

    def observe(self, x: torch.Tensor, relu: bool = False) -> None:
        batch = self.of_step()
        assert isinstance(batch, PercentileObserver)
        batch.observe(x, relu)
        super().merge(batch)
        self.total += Fraction(percentile_clip(batch.histogram(), self.percentile))
        self.batches += 1

    def merge(self, other: Observer) -> None:
        super().merge(other)
        assert isinstance(other, MeanPercentileObserver)
        self.total, self.batches = self.total + other.total, self.batches + other.batches

    def clip(self, histogram: Histogram, quant_max: int) -> float:
        return float(self.total / self.batches)


class MSEObserver(HistogramObserver):
    """The magnitude with the least squared error of quantise-and-back: :func:`~.clipping.mse_clip`."""

    name = "mse"

    def clip(self, histogram: Histogram, quant_max: int) -> float:
        return mse_clip(histogram, quant_max)


class KLObserver(HistogramObserver):
    """The magnitude whose quantised distribution diverges least from what was seen: :func:`~.clipping.kl_clip`."""

    name = "kl"

    def clip(self, histogram: Histogram, quant_max: int) -> float:
        return kl_clip(histogram, quant_max)


class MixObserver(PercentileObserver):
    """What has the least error of quantise-and-back over the sample: ``min_max``, ``percentile``, ``mse`` or ``kl``.

    Here ``min_max`` is the largest sampled magnitude. Of equal ones the first in this order is taken. The error is that
    of :func:`~.clipping.error_of`, which rounds, where ``mse`` expects scale²/12: they differ where values pile up.
    """

    name = "mix"

    def clip(self, histogram: Histogram, quant_max: int) -> float:
        return self._candidates(histogram, quant_max)[self._best(histogram, quant_max)]

    def choice(self, quant_max: int) -> str:
        rule = "min_max" if self.seen <= MIN_ABSMAX else self._best(self.histogram(), quant_max)
        return f"{self.name}: {rule}"

    def _best(self, histogram: Histogram, quant_max: int) -> str:
        clips = self._candidates(histogram, quant_max)
        return min(clips, key=lambda rule: error_of(histogram, clips[rule], quant_max))

    def _candidates(self, histogram: Histogram, quant_max: int) -> dict[str, float]:
        return {
            "min_max": histogram.top,
            "percentile": percentile_clip(histogram, self.percentile),
            "mse": mse_clip(histogram, quant_max),
            "kl": kl_clip(histogram, quant_max),
        }


OBSERVERS: dict[str, type[Observer]] = {
    kind.name: kind
    for kind in (KLObserver, MeanPercentileObserver, MinMaxObserver, MixObserver, MSEObserver, PercentileObserver)
}
"""Observers by the names that configs use."""


def observer(given: str | Mapping[str, Any]) -> Observer:
    """Make a fresh observer.

    Args:
        given: Its name, or a dict of its name and parameters: ``dict(name="percentile", percentile=99.9)``.

    Raises:
        QuantizationError: There is no such observer, or it does not take these parameters.
    """
    parameters = {"name": given} if isinstance(given, str) else dict(given) if isinstance(given, Mapping) else {}
    name = parameters.pop("name", None)
    if not isinstance(name, str):
        raise QuantizationError(
            f"An observer is {given!r}; expected a name, or a dict such as dict(name='percentile', percentile=99.9)."
        )
    if name not in OBSERVERS:
        known = ", ".join(sorted(OBSERVERS))
        raise QuantizationError(f"There is no observer {name!r}; known are {known}.{nearest(name, list(OBSERVERS))}")
    taken = list(inspect.signature(OBSERVERS[name]).parameters)
    for key in parameters:
        if key not in taken:
            raise QuantizationError(
                f"Observer {name!r} has no parameter {key!r}; it takes {', '.join(taken) or 'none'}."
                f"{nearest(str(key), taken)}"
            )
    return OBSERVERS[name](**parameters)


def _coarser(counts: torch.Tensor, old: float, new: float) -> torch.Tensor:
    """Return `counts` over the range `old` as counts over `new`, which is `old` times a power of two."""
    while old < new and counts.any():  # of a new observer none are, and its first range is many doublings away
        halved = counts.reshape(-1, 2).sum(1)
        counts = torch.cat([halved, torch.zeros_like(halved)])
        old *= 2.0
    return counts
