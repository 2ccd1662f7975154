"""What calibration saw and what it made of it, one row per site."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from hatlite.quantization.graph import FakeQuantGraph
from hatlite.quantization.sites import Site

__all__ = ["SiteRange", "format_ranges", "scale_moves", "site_ranges"]


@dataclass(frozen=True)
class SiteRange:
    """Range of one site.

    Attributes:
        name: Site, also the name of its value in the program.
        path: Module path.
        line: Source line of the call.
        dtype: Integer type of the result.
        seen: Largest magnitude that the observer looked at.
        kept: Magnitude that quant_max stands for; what lies beyond saturates.
        scale: Real value of one step.
        rule: Observer that decided; ``mix: kl`` where ``mix`` took what ``kl`` gives; ``fixed`` where the config did.
        saturated: Share of the sampled values that saturate, half a step or more beyond `kept`, 0…1; None for an
            observer that keeps no histogram.
    """

    name: str
    path: str
    line: str
    dtype: str
    seen: float
    kept: float
    scale: float
    rule: str
    saturated: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def site_ranges(graph: FakeQuantGraph) -> list[SiteRange]:
    """Return the ranges of all sites that have a scale of their own, in order; call it when calibration has ended."""
    return [_range_of(site) for site in graph.sites.values() if site.observer is not None]


def _range_of(site: Site) -> SiteRange:
    scale = float(site.scale)
    kept = scale * site.quant_max
    return SiteRange(
        name=site.name,
        path=site.path,
        line=site.line,
        dtype=site.dtype,
        seen=site.observer.largest(),
        kept=kept,
        scale=scale,
        rule="fixed" if site.is_fixed else site.observer.choice(site.quant_max),
        saturated=site.observer.share_beyond(kept + 0.5 * scale),
    )


def scale_moves(graph: FakeQuantGraph) -> dict[str, list[float]]:
    """Return how far the weight scales of each site with weights moved from the ideal ones when they were snapped.

    Returns:
        Site → |Sw / ideal Sw − 1| per output channel.
    """
    ratios = {name: site.ideal_ratio() for name, site in graph.sites.items()}
    return {name: (ratio - 1).abs().tolist() for name, ratio in ratios.items() if ratio is not None}


def format_ranges(ranges: Iterable[SiteRange]) -> str:
    """Return a Markdown table, sites that saturate most first, then in order."""
    lines = [
        "Ranges of calibration. `seen` is the largest magnitude looked at, `kept` what the largest integer stands for,"
        " `rule` the observer that decided, or `fixed` where the config did; `saturated` is the share of sampled"
        " values that round beyond `kept`.",
        "",
        "| site | type | seen | kept | scale | rule | saturated | module and line |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(ranges, key=lambda row: -(row.saturated or 0.0)):
        share = "" if row.saturated is None else f"{row.saturated:.3%}"
        place = f"{row.path} {row.line}"
        numbers = " | ".join(f"{number:.4g}" for number in (row.seen, row.kept, row.scale))
        lines.append(f"| {row.name} | {row.dtype} | {numbers} | {row.rule} | {share} | {place} |")
    return "\n".join(lines) + "\n"
