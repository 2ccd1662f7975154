"""Does a network run on its march? Every operator that does not, why, and what to write instead, before any training.

A network with random weights goes the way of a trained one: captured, prepared, calibrated on one image, lowered,
measured against the march. Where :func:`hatlite.quantization.prepare` would stop, a stand-in takes the place of what it
refuses, so that one look finds everything.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from hatlite.compiler import legalize
from hatlite.errors import CaptureError
from hatlite.lowering import assemble
from hatlite.march import March
from hatlite.program import Conv2d, IntProgram, Linear, find_problems
from hatlite.quantization import FakeQuantGraph, QConfig, prepare

__all__ = ["ModelCheck", "OperatorCheck", "check_network"]

RUNS, REFUSED, EXCEEDS = "runs", "has no integer form", "exceeds the march"
SHOWN = 16
"""Layers that a summary names."""


@dataclass(frozen=True)
class OperatorCheck:
    """One operator.

    Attributes:
        operator: Kind of the operator, ``conv2d``; for what has no integer form, the module or function as written.
        module: Module path in the network.
        line: Source line of the call.
        verdict: ``runs``, ``has no integer form`` or ``exceeds the march``.
        reason: Why it does not run; empty where it does.
        remedy: What to change; empty where it runs.
        config: Entry and line of the config that the module comes from; empty where none was asked for.
        weight_dtype: Kind of the weights, such as ``int8`` or ``kernel3``; empty where it has none or does not run.
    """

    operator: str
    module: str
    line: str
    verdict: str = RUNS
    reason: str = ""
    remedy: str = ""
    config: str = ""
    weight_dtype: str = ""


@dataclass(frozen=True)
class ModelCheck:
    """What :func:`check_network` found.

    Attributes:
        march: Name of the march.
        shape: (N, C, H, W) of the image.
        operators: Those that do not run first, then those that do, each in the order of the network.
    """

    march: str
    shape: tuple[int, ...]
    operators: tuple[OperatorCheck, ...]

    @property
    def problems(self) -> tuple[OperatorCheck, ...]:
        """The operators that do not run."""
        return tuple(row for row in self.operators if row.verdict != RUNS)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        rows = [asdict(row) for row in self.operators]
        return {"march": self.march, "shape": list(self.shape), "runs": not self.problems, "operators": rows}

    def table(self, everything: bool = False) -> str:
        """Return the operators that do not run (or all of them) in a Markdown table, and a summary.

        Args:
            everything: List operators that run as well.
        """
        rows = self.operators if everything else self.problems
        names = ["operator", "module", "line", "config", "verdict", "reason", "remedy"]
        if not any(row.config for row in rows):
            names.remove("config")
        cells = [" | ".join(getattr(row, name).replace("|", "\\|") for name in names) for row in rows]
        table = [f"| {line} |" for line in (" | ".join(names), " | ".join(["---"] * len(names)), *cells)]
        return "\n".join([*table, "", self.summary()] if rows else [self.summary()])

    def summary(self) -> str:
        """Return the verdict, how many operators of each kind run, and which layers have 16-bit weights."""
        run = Counter(row.operator for row in self.operators if row.verdict == RUNS)
        counts = ", ".join(f"{count} {kind}" for kind, count in run.most_common()) or "none"
        shape = "×".join(map(str, self.shape))
        if not self.problems:
            return f"All operators run on {self.march} at {shape}: {counts}.{self._wide_weights()}"
        count = len(self.problems)
        stop = (
            f"{count} problem{' keeps' if count == 1 else 's keep'} the network from running on {self.march} at {shape}"
        )
        return f"{stop}. Operators that run: {counts}.{self._wide_weights()}"

    def _wide_weights(self) -> str:
        modules = list(dict.fromkeys(row.module for row in self.operators if row.weight_dtype == "int16"))
        more = f" and {len(modules) - SHOWN} more, which --json names" if len(modules) > SHOWN else ""
        return f" 16-bit weights: {', '.join(modules[:SHOWN])}{more}." if modules else ""


def check_network(network: nn.Module, qconfig: QConfig, example: torch.Tensor, march: March) -> ModelCheck:
    """Return what of `network` runs on `march`; its weights may be random.

    Args:
        network: ``img → dict[str, Tensor]``; it is put into eval mode and left as it is otherwise.
        qconfig: What is quantised how.
        example: (1, C, H, W) float32, the image to calibrate on.
        march: The machine.

    Raises:
        CaptureError: It does not run in float.
        QuantizationError: A rule of `qconfig` matches nothing.
    """
    network.eval()
    _run_in_float(network, example)
    refusals: list[CaptureError] = []
    lowered: list[OperatorCheck] = []
    try:
        lowered += _lowered(prepare(network, qconfig, example, refusals.append), example, march)
    except CaptureError as problem:  # of the network as a whole; nothing can stand for that
        refusals.append(problem)
    refused = [_refused(one) for one in refusals]
    places = {(row.module, row.line) for row in refused}
    lowered = [row for row in lowered if (row.module, row.line) not in places]
    problems = list(dict.fromkeys([*refused, *(row for row in lowered if row.verdict != RUNS)]))
    return ModelCheck(march.name, tuple(example.shape), (*problems, *(row for row in lowered if row.verdict == RUNS)))


def _refused(problem: CaptureError) -> OperatorCheck:
    place = (problem.operator or "network", problem.name or "network", problem.path)
    return OperatorCheck(*place, REFUSED, problem.reason or str(problem), problem.remedy)


@torch.no_grad()
def _run_in_float(network: nn.Module, example: torch.Tensor) -> None:
    try:
        network(example)
    except Exception as cause:
        shape, said = "×".join(map(str, example.shape)), " ".join(str(cause).split()).rstrip(".")
        raise CaptureError(
            f"The network cannot be checked, because it does not run in float on an image of {shape}:"
            f" {type(cause).__name__}: {said}. Mend this first, or check it with an image of another size."
        ) from cause


def _lowered(graph: FakeQuantGraph, example: torch.Tensor, march: March) -> Iterator[OperatorCheck]:
    """Yield what is wrong with each operator of the program, or that nothing is."""
    if not graph.sites:
        return
    with torch.no_grad():
        graph(example)
    graph.finish_calibration()
    if graph.simulation is not None:  # weights are random, so that no range needs to be folded into them
        graph.take_unit_scales()
    program = assemble(graph, march)
    wrong: set[str] = set()
    for name, row in _wrong(program, march):
        wrong.add(name)
        yield row
    for op in program.ops:
        if op.name not in wrong:
            dtype = op.weight.kind if isinstance(op, (Conv2d, Linear)) else ""
            yield OperatorCheck(op.kind, op.source.module, op.source.line, weight_dtype=dtype)


def _wrong(program: IntProgram, march: March) -> Iterator[tuple[str, OperatorCheck]]:
    for finding in legalize(program, march):
        place = (finding.kind, finding.module, finding.line)
        yield finding.op, OperatorCheck(*place, EXCEEDS, finding.reason, finding.remedy)
    for problem in find_problems(program) if program.outputs else ():  # refused outputs have been told
        op = problem.op
        place = ("program", "network", "") if op is None else (op.kind, op.source.module, op.source.line)
        remedy = "change the dtype in the qconfig or the stub, or the layer, to what the march has"
        yield "" if op is None else op.name, OperatorCheck(*place, EXCEEDS, problem.text, remedy)
