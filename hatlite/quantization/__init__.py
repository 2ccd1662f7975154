"""Float networks become fake-quant graphs whose forward is the integer arithmetic itself."""

from hatlite.quantization.bias_correction import BiasCorrection, check_correction
from hatlite.quantization.equalize import check_balance, equalize
from hatlite.quantization.fuse_batch_norm import FusedNorm, fold_state, fuse_batch_norms
from hatlite.quantization.gain_edit import edit_gains
from hatlite.quantization.graph import FakeQuantGraph
from hatlite.quantization.prepare import check_rules, prepare
from hatlite.quantization.prepare_qat import prepare_qat
from hatlite.quantization.qconfig import QConfig
from hatlite.quantization.report import SiteRange, format_ranges, scale_moves, site_ranges
from hatlite.quantization.simulation import Simulation

__all__ = [
    "BiasCorrection",
    "FakeQuantGraph",
    "FusedNorm",
    "QConfig",
    "Simulation",
    "SiteRange",
    "check_balance",
    "check_correction",
    "check_rules",
    "edit_gains",
    "equalize",
    "fold_state",
    "format_ranges",
    "fuse_batch_norms",
    "prepare",
    "prepare_qat",
    "scale_moves",
    "site_ranges",
]
