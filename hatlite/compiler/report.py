"""How fast would it run? Legality, the cost of every operator and their sum, as a table and as JSON."""

from dataclasses import dataclass
from typing import Any

from hatlite.compiler.cost import LayerCost, layer_cost
from hatlite.compiler.legalize import legalize
from hatlite.compiler.options import CompilerOptions
from hatlite.errors import MarchError
from hatlite.march import March
from hatlite.program import IntProgram

__all__ = ["PerfReport", "estimate"]

MODEL = (
    "Estimate, not a measurement: cycles = overhead + max(compute, memory) per operator, one after the other, every"
    " value through DRAM, one image a run."
)
HEADINGS = ("operator", "kind", "H×W×C", "MMACs", "KiB in", "KiB out", "compute", "memory", "cycles", "bound", "util %")


@dataclass(frozen=True)
class PerfReport:
    """What a program costs on a march.

    Attributes:
        name: Name of the program.
        march: The machine.
        options: What was chosen.
        layers: One entry per operator, in order.
    """

    name: str
    march: March
    options: CompilerOptions
    layers: tuple[LayerCost, ...]

    @property
    def total_cycles(self) -> int:
        """Cycles of one image."""
        return sum(layer.total_cycles for layer in self.layers)

    @property
    def latency_ms(self) -> float:
        """Milliseconds of one image."""
        return 1e3 * self.total_cycles / self.march.clock_hz

    @property
    def fps(self) -> float:
        """Images per second, one after the other."""
        return 1e3 / self.latency_ms

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def bytes(self) -> int:
        """Bytes loaded and stored for one image."""
        return sum(layer.loaded_bytes + layer.stored_bytes for layer in self.layers)

    @property
    def utilization(self) -> float:
        """Share of the array's multiply-accumulates that were used, 0…1."""
        return self.macs / (self.total_cycles * self.march.macs_per_cycle)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, units in the names."""
        return {
            "latency_ms": self.latency_ms,
            "fps": self.fps,
            "total_cycles": self.total_cycles,
            "macs": self.macs,
            "bytes": self.bytes,
            "utilization": self.utilization,
            "name": self.name,
            "march": self.march.name,
            "clock_hz": self.march.clock_hz,
            "opt": self.options.opt_level,
            "simulated": True,
            "model": MODEL,
            "layers": [layer.to_dict() for layer in self.layers],
        }

    def table(self) -> str:
        """Return one line per operator and a summary."""
        rows = [HEADINGS, *(_row(layer) for layer in self.layers)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(_cell(*cell) for cell in zip(row, widths, range(len(row)), strict=True)) for row in rows]
        return "\n".join([MODEL, "", *(line.rstrip() for line in lines), "", self.summary()])

    def summary(self) -> str:
        """Return latency, rate and totals in three lines."""
        return (
            f"{self.name} on {self.march.name} ({self.march.tops:.2f} TOPS at {self.march.clock_hz / 1e9:.2f} GHz),"
            f" simulated: {self.latency_ms:.3f} ms, {self.fps:.1f} images/s.\n"
            f"{self.macs / 1e9:.2f} GMACs, {self.bytes / 2**20:.1f} MiB moved, {self.total_cycles:,} cycles,"
            f" {100 * self.utilization:.1f} % of the array used.\n{self.options.remark}"
        )


def _row(layer: LayerCost) -> tuple[str, ...]:
    return (
        layer.name,
        layer.kind,
        "×".join(map(str, layer.output_shape)),
        f"{layer.macs / 1e6:.2f}",
        f"{layer.loaded_bytes / 1024:.1f}",
        f"{layer.stored_bytes / 1024:.1f}",
        f"{layer.compute_cycles:,}",
        f"{layer.memory_cycles:,}",
        f"{layer.total_cycles:,}",
        layer.bound,
        f"{100 * layer.utilization:.1f}",
    )


def _cell(text: str, width: int, column: int) -> str:
    return text.ljust(width) if HEADINGS[column] in ("operator", "kind", "bound") else text.rjust(width)


def estimate(program: IntProgram, march: March, options: CompilerOptions | None = None) -> PerfReport:
    """Return what `program` costs on `march`.

    Raises:
        MarchError: The program was lowered for another march, has no operators or exceeds limits, which are listed.
    """
    if program.march != march.name:
        was = f"{program.name} was lowered for march {program.march!r}, not for {march.name!r}"
        raise MarchError(f"{was}; lower it again.")
    if not program.ops:
        raise MarchError(f"{program.name} has no operators; there is nothing to estimate.")
    findings = legalize(program, march)
    if findings:
        listed = "".join(f"\n- {finding}" for finding in findings)
        raise MarchError(f"{program.name} cannot run on {march.name}: {len(findings)} limits are exceeded.{listed}")
    layers = tuple(layer_cost(op, program, march) for op in program.ops)
    return PerfReport(program.name, march, options or CompilerOptions(), layers)
