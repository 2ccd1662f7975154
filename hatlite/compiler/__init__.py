"""From an integer program to a machine: what is legal and, so far, an estimate of what it costs; no torch."""

from hatlite.compiler.cost import CYCLES, LayerCost, layer_cost
from hatlite.compiler.legalize import LIMITS, Finding, legalize
from hatlite.compiler.options import CompilerOptions
from hatlite.compiler.report import PerfReport, estimate

__all__ = [
    "CYCLES",
    "LIMITS",
    "CompilerOptions",
    "Finding",
    "LayerCost",
    "PerfReport",
    "estimate",
    "layer_cost",
    "legalize",
]
