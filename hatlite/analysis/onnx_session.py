"""ONNX Runtime on the CPU of this machine."""

import os
from pathlib import Path

import onnxruntime
from onnx import ModelProto

from hatlite.errors import ProgramError

__all__ = ["Level", "open_session"]

Level = onnxruntime.GraphOptimizationLevel


def open_session(
    model: ModelProto | str | os.PathLike[str], level: Level = Level.ORT_ENABLE_ALL
) -> onnxruntime.InferenceSession:
    """Return a session for `model`, or for a file of one, that logs errors alone.

    Raises:
        ProgramError: ONNX Runtime cannot load it.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3  # errors
    source = model.SerializeToString() if isinstance(model, ModelProto) else str(Path(model))
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # the runtime's own exceptions have no common base but this
        name = "The model" if isinstance(model, ModelProto) else str(model)
        raise ProgramError(f"{name}: ONNX Runtime cannot load it ({problem}).") from problem
