"""Reports that look at several worlds at once."""

from hatlite.analysis.alignment import check_alignment, record
from hatlite.analysis.alignment_report import AlignmentReport, LayerAlignment
from hatlite.analysis.calops import Counts, count, parse_shape

__all__ = ["AlignmentReport", "Counts", "LayerAlignment", "check_alignment", "count", "parse_shape", "record"]
