"""Programs in ONNX Runtime, value by value."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from hatlite.executor import Executor, check_engines
from hatlite.export import to_onnx
from hatlite.program import IntProgram, Port

LEVELS = onnxruntime.GraphOptimizationLevel
LEVELS = {"default": LEVELS.ORT_ENABLE_ALL, "unoptimised": LEVELS.ORT_DISABLE_ALL}


def with_all_values(program: IntProgram) -> IntProgram:
    """Every value of the program as an output."""
    ports = tuple(Port(f"out {name}", name, kind.dtype, kind.scale) for name, kind in program.values.items())
    return dataclasses.replace(program, outputs=ports)


def run(model: Any, inputs: Mapping[str, NDArray[Any]], level: str = "default") -> dict[str, NDArray[Any]]:
    """Return the outputs of a model, NHWC as its inputs."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level, options.log_severity_level = LEVELS[level], 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {name: np.ascontiguousarray(array.transpose(0, 3, 1, 2)) for name, array in inputs.items()}
    got = session.run(None, feeds)
    return {out.name: array.transpose(0, 2, 3, 1) for out, array in zip(session.get_outputs(), got, strict=True)}


def require_equal(got: Mapping[str, NDArray[Any]], expected: Mapping[str, NDArray[Any]]) -> None:
    assert set(got) == set(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array, err_msg=name)


def everywhere(program: IntProgram, inputs: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, NDArray[Any]]]:
    """Return every value from each engine that this machine has and from the golden form in ONNX Runtime."""
    usable = [check.engine for check in check_engines() if check.usable]
    assert {"reference", "float32"} <= set(usable)
    found = {engine: Executor(program, engine).run(inputs, keep="all") for engine in usable}
    model = to_onnx(with_all_values(program))
    for level in LEVELS:
        values = run(model, inputs, level)
        found[f"ONNX Runtime, {level}"] = {name.removeprefix("out "): array for name, array in values.items()}
    return found
