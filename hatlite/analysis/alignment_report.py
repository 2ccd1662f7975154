"""What the alignment check found: one row per layer, and a verdict."""

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["AlignmentReport", "LayerAlignment"]

COLUMNS = (
    *("layer", "kind", "dtype", "integers", "differ", "max LSB", "modes differ", "modes LSB", "saturated"),
    *("module", "line"),
)
RIGHT = ("integers", "differ", "max LSB", "modes differ", "modes LSB", "saturated")


@dataclass(frozen=True, kw_only=True)
class LayerAlignment:
    """One value of the program.

    Attributes:
        kind: Operator, such as ``conv2d``, or ``input``.
        name: Of the value.
        module: Path of the module in the network.
        line: Source line of the call.
        dtype: Integer type.
        elements: Integers compared.
        differing: How many of them the program computes differently.
        max_lsb: Largest difference, in steps of the integer.
        mode_differing: How many differ between the modes of the graph itself.
        mode_max_lsb: Largest difference between them.
        saturated: How many of the program's integers stand at the limits of their range, the 0 of a ReLU left out;
            None for what cannot saturate.
    """

    kind: str
    name: str
    module: str
    line: str
    dtype: str
    elements: int
    differing: int
    max_lsb: int
    mode_differing: int
    mode_max_lsb: int = 0
    saturated: int | None = None

    @property
    def saturation(self) -> float | None:
        """Share of the integers that stand at the limits of their range, 0…1."""
        return None if self.saturated is None else self.saturated / max(self.elements, 1)

    @property
    def passed(self) -> bool:
        """Whether all integers are equal, in all modes."""
        return not (self.differing or self.mode_differing)

    def __str__(self) -> str:
        program = f", by up to {self.max_lsb} LSB" if self.differing else ""
        modes = (
            f", {self.mode_differing:,} between the modes of the graph, by up to {self.mode_max_lsb}"
            if self.mode_differing
            else ""
        )
        differs = f"{self.differing:,} of {self.elements:,} integers differ{program}{modes}"
        return f"{self.kind} {self.name!r} ({self.module} {self.line}): {differs}"


@dataclass(frozen=True)
class AlignmentReport:
    """All layers of a network and its program, compared.

    Attributes:
        program: The `.hbir` file.
        images: How many went through.
        modes: Modes of the graph that were run; the program is compared with the first.
        layers: In program order.
        stale: Operators of the file whose constants the graph no longer has: the file is of other weights.
    """

    program: str
    images: int
    modes: tuple[str, ...]
    layers: tuple[LayerAlignment, ...]
    stale: tuple[str, ...] = ()

    @property
    def elements(self) -> int:
        """Integers compared."""
        return sum(layer.elements for layer in self.layers)

    @property
    def differing(self) -> int:
        """Integers that the program computes differently."""
        return sum(layer.differing for layer in self.layers)

    @property
    def mode_differing(self) -> int:
        """Integers that differ between the modes of the graph."""
        return sum(layer.mode_differing for layer in self.layers)

    @property
    def max_lsb(self) -> int:
        """Largest difference."""
        return max(layer.max_lsb for layer in self.layers)

    @property
    def first_difference(self) -> LayerAlignment | None:
        """The first layer in program order that differs: where to look, for later layers inherit the difference."""
        return next((layer for layer in self.layers if not layer.passed), None)

    @property
    def passed(self) -> bool:
        """Whether every integer of every layer is equal in every mode and the file holds the graph's constants."""
        return self.first_difference is None and not self.stale

    @property
    def most_saturated(self) -> LayerAlignment | None:
        """The layer with the largest share of integers at the limits of their range; None where there are none."""
        worst = max(self.layers, key=lambda layer: layer.saturation or 0.0)
        return worst if worst.saturated else None

    def saturation_summary(self) -> str:
        """Return one line: where most is lost to the limits of the integers."""
        worst = self.most_saturated
        if worst is None:
            return "No integer stands at the limits of its range."
        place = f"{worst.kind} {worst.name!r} ({worst.module} {worst.line})"
        share = f"{worst.saturation:.3%} of its integers stand at the limits of their range"
        return f"{place} saturates most: {share}, the 0 of a ReLU left out."

    def summary(self) -> str:
        """Return the verdict: one line, and the reasons when it failed."""
        modes = f"{' and '.join(self.modes)} mode"
        counts = f"{len(self.layers)} tensors, {self.elements:,} integers compared, {self.differing:,} differ"
        lines = [f"{self.images} image{'s' * (self.images != 1)}, {counts} ({modes})"]
        if self.mode_differing:
            lines.append(f"{self.mode_differing:,} integers differ between the modes of the graph.")
        if self.first_difference:
            lines.append(f"The first layer to look at is {self.first_difference}.")
        if self.stale:
            lines.append(
                f"{self.program} is of other weights than the graph: {len(self.stale)} operators have other constants,"
                f" first {self.stale[0]!r}. Lower the graph again."
            )
        return "\n".join(lines)

    def table(self, rows: int | None = None) -> str:
        """Return one line per layer, worst first: those that differ, then those that saturate, then in program order.

        Args:
            rows: Show so many; None shows all.
        """
        ordered = sorted(self.layers, key=_badness)
        lines = [list(COLUMNS), *(_cells(layer) for layer in ordered[:rows])]
        widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
        text = ["  ".join(map(_align, COLUMNS, line, widths)).rstrip() for line in lines]
        hidden = len(ordered) - (len(lines) - 1)
        return "\n".join([*text, f"… and {hidden} more, {_verdict(ordered[len(lines) - 1 :])}"] if hidden else text)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        totals = {"tensors": len(self.layers), "integers": self.elements, "differing": self.differing}
        totals |= {"max_lsb": self.max_lsb, "mode_differing": self.mode_differing, "passed": self.passed}
        return {**totals, **asdict(self), "modes": list(self.modes), "stale": list(self.stale)}


def _badness(layer: LayerAlignment) -> tuple[bool, int, int, int, int, float]:
    program, modes = (-layer.max_lsb, -layer.differing), (-layer.mode_max_lsb, -layer.mode_differing)
    return layer.passed, *program, *modes, -(layer.saturation or 0.0)


def _verdict(layers: list[LayerAlignment]) -> str:
    return "all equal" if all(layer.passed for layer in layers) else "differing ones among them"


def _align(column: str, cell: str, width: int) -> str:
    return cell.rjust(width) if column in RIGHT else cell.ljust(width)


def _cells(layer: LayerAlignment) -> list[str]:
    counts = (layer.elements, layer.differing, layer.max_lsb, layer.mode_differing, layer.mode_max_lsb)
    share = "" if layer.saturation is None else f"{layer.saturation:.3%}"
    return [layer.name, layer.kind, layer.dtype, *(f"{count:,}" for count in counts), share, layer.module, layer.line]
