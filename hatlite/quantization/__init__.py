"""Float networks become fake-quant graphs whose forward is the integer arithmetic itself."""

from hatlite.quantization.graph import FakeQuantGraph
from hatlite.quantization.prepare import prepare
from hatlite.quantization.qconfig import QConfig

__all__ = ["FakeQuantGraph", "QConfig", "prepare"]
