"""Capture of a network as an ordered list of module calls, each with its module path and source line."""

from hatlite.graph.capture import Call, Capture, capture
from hatlite.graph.refusal import REPLACEMENTS, Refuse, Refused, strictly
from hatlite.graph.selection import Selection

__all__ = ["REPLACEMENTS", "Call", "Capture", "Refuse", "Refused", "Selection", "capture", "strictly"]
