"""Chip models of the GTI 5801 in hatlite's own container; no torch, and not the vendor's binary."""

from hatlite.chip.limits import MAX_CLASSES, limit_problems
from hatlite.chip.model_file import read_chip_model, write_chip_model

__all__ = ["MAX_CLASSES", "limit_problems", "read_chip_model", "write_chip_model"]
