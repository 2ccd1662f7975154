"""Does ONNX Runtime compute what the executor computes? Every integer of every output is compared, at 0 LSB."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto

from hatlite.analysis.onnx_probe import ASKED, make_probe
from hatlite.analysis.onnx_session import Level, open_session
from hatlite.errors import ProgramError
from hatlite.executor import Executor, dequantize_outputs
from hatlite.export import exact_outputs, to_onnx
from hatlite.ops.integer.fixed_point import dequantize
from hatlite.program import IntProgram

__all__ = ["OPTIONS", "OnnxOutput", "OnnxReport", "verify_onnx"]

OPTIONS = {
    "golden": {"default": Level.ORT_ENABLE_ALL, "unoptimised": Level.ORT_DISABLE_ALL},
    "qdq": {"default": Level.ORT_ENABLE_ALL},
    "clip": {"default": Level.ORT_ENABLE_ALL},
}
"""Form → session options to check; QDQ is exact only where ONNX Runtime fuses it."""


@dataclass(frozen=True)
class OnnxOutput:
    """Comparison of one output under one set of session options.

    Attributes:
        name: Of the output, or of the operator that was asked.
        asked: What it was asked, a key of :data:`~hatlite.analysis.onnx_probe.ASKED`; empty for an output of the model.
        options: Key of :data:`OPTIONS`.
        promised: Whether the form promises equality for it.
        elements: Values compared.
        differing: How many of them differ.
        max_lsb: Largest difference, in steps.
    """

    name: str
    asked: str
    options: str
    promised: bool
    elements: int
    differing: int
    max_lsb: int


@dataclass(frozen=True)
class OnnxReport:
    """What was compared.

    Attributes:
        form: Of the model.
        runtime: Version of ONNX Runtime.
        outputs: One entry per output and session options, then one per operator that was asked.
    """

    form: str
    runtime: str
    outputs: tuple[OnnxOutput, ...]

    @property
    def passed(self) -> bool:
        """Whether every output that the form promises is equal."""
        return not any(output.differing for output in self.outputs if output.promised)

    def table(self) -> str:
        """Return one line per output, and one for all thresholds, pairs or entries of each set of options."""
        rows = [row for row in self.outputs if not row.asked] + self._asked_rows()
        width = max(len(row.name) for row in rows)
        lines = [f"{'output':{width}}  {'options':11}  promised  {'elements':>10}  {'differing':>9}  max LSB"]
        for row in rows:
            promised = "yes" if row.promised else "no"
            lines.append(
                f"{row.name:{width}}  {row.options:11}  {promised:8}  {row.elements:10,}  {row.differing:9,}"
                f"  {row.max_lsb:7,}"
            )
        return "\n".join(lines)

    def _asked_rows(self) -> list[OnnxOutput]:
        groups = defaultdict(list)
        for row in self.outputs:
            if row.asked:
                groups[row.asked, row.options, row.promised].append(row)
        return [
            OnnxOutput(
                f"{asked} {len(rows)} {ASKED[asked]}",
                asked,
                options,
                promised,
                elements=sum(row.elements for row in rows),
                differing=sum(row.differing for row in rows),
                max_lsb=max(row.max_lsb for row in rows),
            )
            for (asked, options, promised), rows in groups.items()
        ]

    def summary(self) -> str:
        """Return one sentence; where nothing is promised it is no verdict."""
        promised = [row for row in self.outputs if row.promised]
        elements, differing = (sum(getattr(row, key) for row in promised) for key in ("elements", "differing"))
        rest = sum(row.differing for row in self.outputs if not row.promised)
        if not promised:
            total = sum(row.elements for row in self.outputs)
            return (
                f"ONNX Runtime {self.runtime} and the executor: the {self.form} form promises no equal integers;"
                f" {rest:,} of {total:,} differ{self._how_far()}."
            )
        more = f"; {rest:,} differ{self._how_far()} where the {self.form} form promises nothing" if rest else ""
        verdict = "equal" if self.passed else "NOT equal"
        return (
            f"ONNX Runtime {self.runtime} and the executor are {verdict}: "
            f"{elements:,} integers compared, {differing:,} differ{more}."
        )

    def _how_far(self) -> str:
        """Return by how much the outputs of the model differ that nothing is promised for."""
        steps = [row.max_lsb for row in self.outputs if not row.promised and not row.asked]
        return f", outputs by up to {max(steps):,} steps" if any(steps) else ""

    def text(self) -> str:
        """Return table and summary."""
        return f"{self.table()}\n{self.summary()}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"passed": self.passed, **asdict(self)}


def verify_onnx(
    model: ModelProto | str | os.PathLike[str],
    program: IntProgram,
    batches: Iterable[Mapping[str, NDArray[Any]]] = (),
    *,
    engine: str = "auto",
) -> OnnxReport:
    """Run `model` and `program` on the same inputs, and this ONNX Runtime on what it could compute otherwise.

    That is every threshold of a convolution, every pair of bytes that is added or multiplied, every entry of a table:
    operators made by the same export as those of `model` are asked all of them, and the reference engine knows the
    answers.

    Args:
        model: What :func:`~hatlite.export.to_onnx` made, or a file of it; integer or real ends.
        program: What it was made from.
        batches: Inputs as the executor takes them, name → (N, H, W, C) integers; none asks the operators alone.
        engine: Of the executor, for `batches`.

    Raises:
        ProgramError: ONNX Runtime cannot load the model, or it is none of `program`.
    """
    form = _form(open_session(model, Level.ORT_DISABLE_ALL), program)
    rows = _compare(model, program, batches, form, engine)
    probe = make_probe(program)
    asked = _compare(to_onnx(probe.program, form), probe.program, [probe.inputs], form, "reference")
    rows += [replace(row, asked=probe.asked[row.name]) for row in asked]
    return OnnxReport(form, onnxruntime.__version__, tuple(rows))


def _form(session: onnxruntime.InferenceSession, program: IntProgram) -> str:
    """Return the form of the model after checking that it has the ports of `program`."""
    form = session.get_modelmeta().custom_metadata_map.get("form")
    if form not in OPTIONS:
        raise ProgramError(
            "The model does not say in which form hatlite wrote it; make it with hatlite.export.to_onnx."
        )
    for has, ports in ((session.get_inputs(), program.inputs), (session.get_outputs(), program.outputs)):
        theirs = {node.name: tuple(node.shape[1:]) for node in has}
        shapes = {port.name: program.values[port.value].shape for port in ports}
        ours = {name: (channels, height, width) for name, (height, width, channels) in shapes.items()}
        if theirs != ours:
            raise ProgramError(f"The model has {theirs}, {program.name} has {ours}; export the program again.")
    return form


def _compare(
    model: ModelProto | str | os.PathLike[str],
    program: IntProgram,
    batches: Iterable[Mapping[str, NDArray[Any]]],
    form: str,
    engine: str,
) -> list[OnnxOutput]:
    sessions = {name: open_session(model, level) for name, level in OPTIONS[form].items()}
    executor, promised = Executor(program, engine), exact_outputs(program, form)
    counts = {(port.name, name): np.zeros(3, np.int64) for name in sessions for port in program.outputs}
    for inputs in batches:
        expected = executor.run(inputs)
        for options, session in sessions.items():
            for name, steps in _differences(session, program, inputs, expected).items():
                elements, differing, worst = counts[name, options]
                counts[name, options][:] = (
                    elements + steps.size,
                    differing + np.count_nonzero(steps),
                    max(worst, steps.max()),
                )
    return [OnnxOutput(name, "", o, name in promised, *map(int, count)) for (name, o), count in counts.items()]


def _differences(
    session: onnxruntime.InferenceSession,
    program: IntProgram,
    inputs: Mapping[str, NDArray[Any]],
    expected: Mapping[str, NDArray[Any]],
) -> dict[str, NDArray[np.int64]]:
    """Return |ONNX − expected| of each output, in steps; where real ends differ by less than one, 1."""
    real = session.get_inputs()[0].type == "tensor(float)"
    feeds = {}
    for port in program.inputs:
        q = inputs[port.name]
        feeds[port.name] = np.ascontiguousarray((dequantize(q, port.scale) if real else q).transpose(0, 3, 1, 2))
    names = [port.name for port in program.outputs]
    got = dict(zip(names, session.run(names, feeds), strict=True))
    if not real:
        return {n: np.abs(got[n].astype(np.int64) - expected[n].transpose(0, 3, 1, 2).astype(np.int64)) for n in names}
    wanted = dequantize_outputs(program, expected)
    scales = {p.name: np.asarray(p.scale).reshape(-1, 1, 1) for p in program.outputs}
    return {n: np.ceil(np.abs(got[n] - wanted[n]) / scales[n]).astype(np.int64) for n in names}
