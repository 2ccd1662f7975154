"""Integer programs as files for other runtimes; needs the extra ``hatlite[onnx]`` to export, not to be imported."""

from hatlite.export.contract import AnchorLevel, DetectionContract, OctaveAnchors, SizedAnchors
from hatlite.export.entry import to_onnx
from hatlite.export.proof import exact_outputs
from hatlite.export.prototxt import inexpressible, meta_arch

__all__ = [
    "AnchorLevel",
    "DetectionContract",
    "OctaveAnchors",
    "SizedAnchors",
    "exact_outputs",
    "inexpressible",
    "meta_arch",
    "to_onnx",
]
