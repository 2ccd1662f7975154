"""Does ONNX Runtime compute what the executor computes? Every integer of every output is compared, at 0 LSB.

Forms that promise no equal integers are held to a limit instead: the RMS of what differs against the RMS of what was
expected, for every output. What their operators are asked is only told: a file is judged by what comes out of it.
"""

import math
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
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

__all__ = ["LARGEST_ERROR", "OPTIONS", "OnnxOutput", "OnnxReport", "verify_onnx"]

OPTIONS = {
    "golden": {"default": Level.ORT_ENABLE_ALL, "unoptimised": Level.ORT_DISABLE_ALL},
    "qdq": {"default": Level.ORT_ENABLE_ALL},
    "clip": {"default": Level.ORT_ENABLE_ALL},
}
"""Form → session options to check; QDQ is exact only where ONNX Runtime fuses it."""

LARGEST_ERROR = 0.2
"""Largest RMS error, as a share of the RMS of what was expected, where equality is not promised.

docs/arithmetic.md, section 6, has what files that are right were measured at.
"""


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
        rms_lsb: Their RMS, in steps.
        error: RMS of the real differences over that of the real values; over one step, where values are smaller.
    """

    name: str
    asked: str
    options: str
    promised: bool
    elements: int
    differing: int
    max_lsb: int
    rms_lsb: float = 0.0
    error: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether it is equal; an output that is not promised is near: within `LARGEST_ERROR`, or an RMS of a step."""
        if self.promised:
            return not self.differing
        return bool(self.asked) or self.error <= LARGEST_ERROR or self.rms_lsb <= 1


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
        """Whether every output that the form promises is equal, and every other one near."""
        return all(output.passed for output in self.outputs)

    def table(self) -> str:
        """Return one line per output, and one for all thresholds, pairs or entries of each set of options."""
        rows = [row for row in self.outputs if not row.asked] + self._asked_rows()
        width = max(len(row.name) for row in rows)
        lines = [
            f"{'output':{width}}  {'options':11}  promised  {'elements':>10}  {'differing':>9}  max LSB  RMS error"
        ]
        for row in rows:
            promised = "yes" if row.promised else "no"
            lines.append(
                f"{row.name:{width}}  {row.options:11}  {promised:8}  {row.elements:10,}  {row.differing:9,}"
                f"  {row.max_lsb:7,}  {row.error:9.3%}"
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
                **{key: max(getattr(row, key) for row in rows) for key in ("max_lsb", "rms_lsb", "error")},
            )
            for (asked, options, promised), rows in groups.items()
        ]

    def summary(self) -> str:
        """Return one sentence, with the verdict on what is promised and on the rest."""
        promised, rest = ([row for row in self.outputs if row.promised == kind] for kind in (True, False))
        who = f"ONNX Runtime {self.runtime} and the executor"
        if not promised:
            return f"{who}: the {self.form} form promises no equal integers; {_distance(rest)}."
        elements, differing = (sum(getattr(row, key) for row in promised) for key in ("elements", "differing"))
        more = f"; where the {self.form} form promises nothing, {_distance(rest)}" if rest else ""
        verdict = "NOT equal" if differing else "equal"
        return f"{who} are {verdict}: {elements:,} integers compared, {differing:,} differ{more}."

    def text(self) -> str:
        """Return table and summary."""
        return f"{self.table()}\n{self.summary()}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"passed": self.passed, **asdict(self)}


def _distance(rows: Sequence[OnnxOutput]) -> str:
    """Return how far rows that are not promised differ, and whether the outputs among them are near enough."""
    differing, elements = sum(row.differing for row in rows), sum(row.elements for row in rows)
    said = f"{differing:,} of {elements:,} differ"
    outputs = [row for row in rows if row.differing and not row.asked]
    if not outputs:
        return said
    far = [row for row in outputs if not row.passed]
    worst = max(far or outputs, key=lambda row: row.error)
    return (
        f"{said}, outputs by up to {max(row.max_lsb for row in outputs):,} steps, and are"
        f" {'NOT near' if far else 'near'}: their RMS error is up to {worst.error:.2%} of the signal, in {worst.name}"
        f" ({LARGEST_ERROR:.0%} is allowed)"
    )


@dataclass
class _Tally:
    """What the differences of one output add up to."""

    elements: int = 0
    differing: int = 0
    worst: int = 0
    squares: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("steps", "error", "value", "scale"), 0.0))

    def add(self, steps: NDArray[np.float64], expected: NDArray[Any], scale: NDArray[np.float64]) -> None:
        """Count (N, C, H, W) differences in steps, beside the expected integers and (C or 1, 1, 1) real steps."""
        distance = np.ceil(np.abs(steps))
        self.elements += steps.size
        self.differing += int(np.count_nonzero(distance))
        self.worst = max(self.worst, int(distance.max()))
        parts = {"steps": steps, "error": steps * scale, "value": expected * scale}
        parts["scale"] = np.broadcast_to(scale, steps.shape)
        for name, values in parts.items():
            self.squares[name] += float(np.square(values, dtype=np.float64).sum())

    def output(self, name: str, options: str, promised: bool) -> OnnxOutput:
        """Return the row of an output of the model."""
        rms = {key: math.sqrt(total / max(self.elements, 1)) for key, total in self.squares.items()}
        error = rms["error"] / max(rms["value"], rms["scale"]) if self.elements else 0.0
        return OnnxOutput(
            name, "", options, promised, self.elements, self.differing, self.worst, rms_lsb=rms["steps"], error=error
        )


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
    tallies = {(port.name, name): _Tally() for name in sessions for port in program.outputs}
    scales = {port.name: np.asarray(port.scale, np.float64).reshape(-1, 1, 1) for port in program.outputs}
    for inputs in batches:
        expected = executor.run(inputs)
        for options, session in sessions.items():
            for name, steps in _differences(session, program, inputs, expected).items():
                tallies[name, options].add(steps, expected[name].transpose(0, 3, 1, 2), scales[name])
    return [tally.output(name, options, name in promised) for (name, options), tally in tallies.items()]


def _differences(
    session: onnxruntime.InferenceSession,
    program: IntProgram,
    inputs: Mapping[str, NDArray[Any]],
    expected: Mapping[str, NDArray[Any]],
) -> dict[str, NDArray[np.float64]]:
    """Return ONNX − expected of each output, in steps, which are whole numbers unless the ends are real."""
    real = session.get_inputs()[0].type == "tensor(float)"
    feeds = {}
    for port in program.inputs:
        q = inputs[port.name]
        feeds[port.name] = np.ascontiguousarray((dequantize(q, port.scale) if real else q).transpose(0, 3, 1, 2))
    names = [port.name for port in program.outputs]
    got = dict(zip(names, session.run(names, feeds), strict=True))
    if not real:
        return {n: got[n].astype(np.float64) - expected[n].transpose(0, 3, 1, 2) for n in names}
    wanted = dequantize_outputs(program, expected)
    scales = {p.name: np.asarray(p.scale).reshape(-1, 1, 1) for p in program.outputs}
    return {n: (got[n].astype(np.float64) - wanted[n]) / scales[n] for n in names}
