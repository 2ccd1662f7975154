"""Hardware facts, by name; no torch."""

from hatlite.march.facts import Arithmetic, March, OpLimits
from hatlite.march.marches import MARCHES, get_march, register_march

__all__ = ["MARCHES", "Arithmetic", "March", "OpLimits", "get_march", "register_march"]
