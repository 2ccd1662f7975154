"""Capture of a network as an ordered list of module calls, each with its module path and source line."""

from hatlite.graph.capture import Call, Capture, capture
from hatlite.graph.selection import Selection

__all__ = ["Call", "Capture", "Selection", "capture"]
