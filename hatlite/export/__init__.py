"""Integer programs as files for other runtimes.

The extra ``hatlite[onnx]`` is needed to export, not to import this package: the exporter is loaded when it is called.
"""

from typing import TYPE_CHECKING

from hatlite.export.proof import exact_outputs
from hatlite.extras import import_extra
from hatlite.program import IntProgram

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["exact_outputs", "to_onnx"]


def to_onnx(program: IntProgram, form: str = "golden", *, real: bool = False) -> "ModelProto":
    """Return `program` as an ONNX model; see :func:`hatlite.export.onnx_model.to_onnx`."""
    return import_extra("hatlite.export.onnx_model", "onnx").to_onnx(program, form, real=real)
