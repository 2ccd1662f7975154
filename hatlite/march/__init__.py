"""Hardware facts, by name; no torch."""

from hatlite.march.facts import WEIGHT_KINDS, Arithmetic, March, OpLimits, WeightKind
from hatlite.march.marches import MARCHES, get_march, register_march

__all__ = ["MARCHES", "WEIGHT_KINDS", "Arithmetic", "March", "OpLimits", "WeightKind", "get_march", "register_march"]
