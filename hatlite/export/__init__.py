"""Integer programs as files for other runtimes; needs the extra ``hatlite[onnx]`` to export, not to be imported."""

from hatlite.export.entry import to_onnx
from hatlite.export.proof import exact_outputs

__all__ = ["exact_outputs", "to_onnx"]
