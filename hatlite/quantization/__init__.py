"""Float networks become fake-quant graphs whose forward is the integer arithmetic itself."""

from hatlite.quantization.bias_correction import BiasCorrection, check_correction
from hatlite.quantization.equalize import check_balance, equalize
from hatlite.quantization.graph import FakeQuantGraph
from hatlite.quantization.prepare import check_rules, prepare
from hatlite.quantization.prepare_qat import prepare_qat
from hatlite.quantization.qconfig import QConfig
from hatlite.quantization.report import SiteRange, format_ranges, scale_moves, site_ranges

__all__ = [
    "BiasCorrection",
    "FakeQuantGraph",
    "QConfig",
    "SiteRange",
    "check_balance",
    "check_correction",
    "check_rules",
    "equalize",
    "format_ranges",
    "prepare",
    "prepare_qat",
    "scale_moves",
    "site_ranges",
]
