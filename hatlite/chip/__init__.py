"""Chip models of the GTI 5801 in hatlite's own container; no torch, and not the vendor's binary."""

from hatlite.chip.layer_json import Numbers, cap_lines, dat_json, model_json, output_cap, output_gains
from hatlite.chip.limits import MAX_CLASSES, limit_problems
from hatlite.chip.model_file import chip_model_bytes, read_chip_model, write_chip_model
from hatlite.chip.summary import chip_summary

__all__ = [
    "MAX_CLASSES",
    "Numbers",
    "cap_lines",
    "chip_model_bytes",
    "chip_summary",
    "dat_json",
    "limit_problems",
    "model_json",
    "output_cap",
    "output_gains",
    "read_chip_model",
    "write_chip_model",
]
