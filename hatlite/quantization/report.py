"""What calibration saw and what it made of it, one row per site."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from hatlite.quantization.graph import FakeQuantGraph
from hatlite.quantization.sites import Site

__all__ = ["SiteRange", "format_ranges", "site_ranges"]


@dataclass(frozen=True)
class SiteRange:
    """Range of one site.

    Attributes:
        name: Site, also the name of its value in the program.
        path: Module path.
        line: Source line of the call.
        dtype: Integer type of the result.
        seen: Largest magnitude that calibration saw.
        kept: Magnitude that quant_max stands for; what lies beyond saturates.
        scale: Real value of one step.
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
        saturated=site.observer.share_beyond(kept + 0.5 * scale),
    )


def format_ranges(ranges: Iterable[SiteRange]) -> str:
    """Return a Markdown table, sites that saturate most first, then in order."""
    lines = [
        "Ranges of calibration. `seen` is the largest magnitude, `kept` what the largest integer stands for;"
        " `saturated` is the share of values that round beyond it.",
        "",
        "| site | type | seen | kept | scale | saturated | module and line |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in sorted(ranges, key=lambda row: -(row.saturated or 0.0)):
        share = "" if row.saturated is None else f"{row.saturated:.3%}"
        place = f"{row.path} {row.line}"
        lines.append(
            f"| {row.name} | {row.dtype} | {row.seen:.4g} | {row.kept:.4g} | {row.scale:.4g} | {share} | {place} |"
        )
    return "\n".join(lines) + "\n"
