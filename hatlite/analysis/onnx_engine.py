"""The onnxruntime engine: the golden form of a program in the ONNX Runtime at hand, as an engine of the executor.

It stands here because the executor and the export do not know each other; `hatlite.analysis` registers it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from hatlite.export import to_onnx
from hatlite.program import IntProgram, Port

__all__ = ["Engine"]

Ints = NDArray[Any]


class Engine:
    """Holds one session for the outputs, and one for every value once that is asked for.

    Attributes:
        kernels: Operator → ``onnxruntime``.
    """

    def __init__(self, program: IntProgram) -> None:
        self._program = program
        self.kernels = {op.name: "onnxruntime" for op in program.ops}
        self._sessions = {"outputs": _session(program, [port.value for port in program.outputs])}

    def run(self, inputs: Mapping[str, Ints], keep: str = "outputs") -> dict[str, Ints]:
        """Return the outputs, or every value; see :class:`hatlite.executor.kernels.stepwise.Stepwise`."""
        if keep not in self._sessions:
            made = [op.output for op in self._program.ops]
            self._sessions[keep] = _session(self._program, made)
        session, names = self._sessions[keep]
        feed = {f"{name}_in": np.ascontiguousarray(array.transpose(0, 3, 1, 2)) for name, array in inputs.items()}
        results = session.run([f"{name}_out" for name in names], feed)
        given = {name: inputs[name] for name in (inputs if keep == "all" else ())}
        values = {name: value.transpose(0, 2, 3, 1) for name, value in zip(names, results, strict=True)}
        return {name: np.ascontiguousarray(value) for name, value in (given | values).items()}


def _session(program: IntProgram, values: list[str]) -> tuple[onnxruntime.InferenceSession, list[str]]:
    """Return a session that gives `values`, and those without repetition."""
    names = list(dict.fromkeys(values))
    entries = tuple(replace(port, name=f"{port.value}_in") for port in program.inputs)
    types = {name: program.values[name] for name in names}
    exits = tuple(Port(f"{name}_out", name, kind.dtype, kind.scale) for name, kind in types.items())
    model = to_onnx(replace(program, inputs=entries, outputs=exits), "golden")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"]), names
