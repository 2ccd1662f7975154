"""Where to clip, given a histogram of magnitudes: the rules behind the observers that keep one."""

from dataclasses import dataclass

import torch

__all__ = ["Histogram", "divergences", "error_of", "kl_clip", "mse_clip", "percentile_clip"]

MSE_CANDIDATES = 100
KL_CANDIDATES = 128
EMPTY_LEVEL = 1e-4
"""Counts that a level without values stands for, so that its divergence is finite."""


@dataclass(frozen=True)
class Histogram:
    """Sampled magnitudes.

    Attributes:
        counts: (bins,) float64; bin i holds the magnitudes from i · width up to, not including, (i + 1) · width.
        width: Of a bin, above 0.
        top: The largest magnitude; it lies in the last bin that is not empty.
    """

    counts: torch.Tensor
    width: float
    top: float

    @property
    def centers(self) -> torch.Tensor:
        """(bins,) float64 middles of the bins."""
        return (torch.arange(len(self.counts), dtype=torch.float64) + 0.5) * self.width


def percentile_clip(histogram: Histogram, percentile: float) -> float:
    """Return the magnitude below which `percentile` percent of the values lie, to the upper edge of its bin."""
    below = torch.cumsum(histogram.counts, 0)
    index = int(torch.searchsorted(below, below[-1] * (percentile / 100.0)))
    return min((min(index, len(below) - 1) + 1) * histogram.width, histogram.top)


def mse_clip(histogram: Histogram, quant_max: int) -> float:
    """Return the clip with the least expected square of what quantisation changes.

    Candidates are 100 clips from 20 % to 100 % of the largest magnitude. Rounding inside the clip costs scale²/12 a
    value, what lies outside costs its distance to the clip, squared. Equal ones: the widest.
    """
    clips = torch.linspace(0.2, 1.0, MSE_CANDIDATES, dtype=torch.float64) * histogram.top
    beyond = (histogram.centers[None, :] - clips[:, None]).clamp_min(0.0)  # (candidates, bins)
    inside = (beyond == 0.0).double()
    errors = (histogram.counts * (beyond**2 + inside * ((clips / quant_max) ** 2 / 12.0)[:, None])).sum(1)
    return float(clips[_last_least(errors)])


def kl_clip(histogram: Histogram, quant_max: int) -> float:
    """Return the clip whose quantised distribution diverges least from that of the values.

    Entropy calibration (Migacz, "8-bit Inference with TensorRT", GTC 2017): see :func:`divergences`. The first bin, in
    which a ReLU piles up its zeros, is left out: zero is exact whatever the clip. Candidates are 128 numbers of bins,
    from as many as there are levels up to all. Equal ones: the widest. With no more bins than levels, none is cut off.

    Args:
        histogram: Of magnitudes.
        quant_max: 127 has 128 levels of magnitude, 255 has 256.
    """
    used = min(int(histogram.top / histogram.width) + 1, len(histogram.counts))
    levels = quant_max + 1
    counts = histogram.counts[:used].clone()
    counts[0] = 0.0
    if used <= levels or not counts.any():
        return histogram.top
    lengths = torch.linspace(levels, used, KL_CANDIDATES, dtype=torch.float64).round().long().unique()
    best = int(lengths[_last_least(divergences(counts, lengths, levels))])
    return min(best * histogram.width, histogram.top)


def divergences(counts: torch.Tensor, lengths: torch.Tensor, levels: int) -> torch.Tensor:
    """Return KL(P || Q) for every number of bins kept, (K,) float64, in nats.

    P is the distribution over the first `length` bins, its last one holding all that lies beyond. Q spreads what the
    bins of one level hold evenly over those of them that are not empty in P, without what lies beyond.

    Args:
        counts: (bins,) float64, not all 0.
        lengths: (K,) int64, `levels` … bins.
        levels: Bin i of `length` belongs to level i · levels // length.
    """
    position = torch.arange(len(counts))
    kept = counts * (position < lengths[:, None])  # (K, bins)
    reference = kept.clone()
    reference[torch.arange(len(lengths)), lengths - 1] += counts.sum() - kept.sum(1)
    occupied = (reference > 0).double()
    level = (position * levels // lengths[:, None]).clamp_max(levels - 1)
    nothing = torch.zeros(len(lengths), levels, dtype=torch.float64)
    mass, bins = (nothing.scatter_add(1, level, part) for part in (kept, occupied))
    spread = (mass.clamp_min(EMPTY_LEVEL) / bins.clamp_min(1.0)).gather(1, level) * occupied
    p, q = (part / part.sum(1, keepdim=True) for part in (reference, spread))
    return (torch.xlogy(p, p) - torch.xlogy(p, torch.where(occupied > 0, q, 1.0))).sum(1)


def error_of(histogram: Histogram, clip: float, quant_max: int) -> float:
    """Return the mean square error of quantise-and-back, with scale clip / quant_max, over the middles of the bins.

    Only for a histogram that holds values.
    """
    scale = clip / quant_max
    centers = histogram.centers
    back = (centers / scale + 0.5).floor().clamp_max(quant_max) * scale
    return float((histogram.counts * (back - centers) ** 2).sum() / histogram.counts.sum())


def _last_least(errors: torch.Tensor) -> int:
    return int(torch.nonzero(errors == errors.min())[-1])
