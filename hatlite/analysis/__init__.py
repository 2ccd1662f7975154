"""Reports that look at several worlds at once."""

from hatlite.analysis.calops import Counts, count, parse_shape

__all__ = ["Counts", "count", "parse_shape"]
