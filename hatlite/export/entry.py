"""The way in: the exporter and its packages are loaded when something is exported."""

from typing import TYPE_CHECKING

from hatlite.extras import import_extra
from hatlite.program import IntProgram

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["to_onnx"]


def to_onnx(program: IntProgram, form: str = "golden", *, real: bool = False) -> "ModelProto":
    """Return `program` as an ONNX model; arguments and errors as :func:`hatlite.export.onnx_model.to_onnx`.

    Raises:
        MissingExtraError: The extra ``hatlite[onnx]`` is not installed.
    """
    return import_extra("hatlite.export.onnx_model", "onnx").to_onnx(program, form, real=real)
