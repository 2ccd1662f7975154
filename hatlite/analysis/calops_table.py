"""The counts of a network as a tree of its modules, and as JSON."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from hatlite.analysis.calops import RULES, Counts

__all__ = ["counts_table", "counts_to_dict"]

_ROOT = "network"


class _Row(NamedTuple):
    path: str
    type: str
    depth: int
    parameters: int
    macs: dict[str, int]


def counts_table(counts: Counts, depth: int = 2) -> str:
    """Return the modules down to `depth`, indented, each with what lies below it, and the totals.

    Args:
        counts: Of a network.
        depth: Levels below the network; 0 shows the totals alone.
    """
    rows = [row for row in _tree(counts) if row.depth <= depth]
    cells = [("module", "type", "parameters", *(f"GMACs ({rule})" for rule in RULES)), *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_aligned(line, widths) for line in cells] if depth else []
    return "\n".join([*lines, *([""] if lines else []), *_totals(counts)])


def counts_to_dict(counts: Counts) -> dict[str, Any]:
    """Return all modules and totals for a JSON file; MACs and parameters are whole numbers."""
    return {
        "input_shape": list(counts.shape),
        "parameters": counts.parameters,
        "macs": {rule: counts.total(rule) for rule in RULES},
        "operations": counts.by_kind(),
        "modules": [
            {"path": row.path, "type": row.type, "parameters": row.parameters, "macs": row.macs}
            for row in _tree(counts)
        ],
    }


def _tree(counts: Counts) -> list[_Row]:
    """Return a row for every module that has parameters or works, its children's included."""
    rows = {
        part.path: _Row(part.path, part.type, len(_ancestors(part.path)) - 1, 0, dict.fromkeys(RULES, 0))
        for part in counts.parts
    }
    for part in counts.parts:
        for path in _ancestors(part.path) if part.parameters else ():
            rows[path] = rows[path]._replace(parameters=rows[path].parameters + part.parameters)
    for work in counts.work:
        for rule in (rule for rule, kinds in RULES.items() if work.kind in kinds):
            for path in _ancestors(work.path):
                rows[path].macs[rule] += work.operations
    return [row for row in rows.values() if row.parameters or any(row.macs.values())]


def _ancestors(path: str) -> list[str]:
    """Return the paths from the network down to `path` itself."""
    names = path.split(".") if path else []
    return [".".join(names[:end]) for end in range(len(names) + 1)]


def _cells(row: _Row) -> tuple[str, ...]:
    name = "  " * row.depth + (row.path.rpartition(".")[2] or _ROOT)
    return name, row.type, f"{row.parameters:,}", *(f"{row.macs[rule] / 1e9:.4f}" for rule in RULES)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "  ".join([*left, *right])


def _totals(counts: Counts) -> list[str]:
    kinds = ", ".join(f"{kind} {operations / 1e9:.4f}" for kind, operations in counts.by_kind().items())
    return [
        f"GMACs: {counts.total('convolutions') / 1e9:.2f}, convolutions and linear layers only",
        f"GMACs: {counts.total('mmcv') / 1e9:.2f}, mmcv's rule: {kinds}",
        f"Parameters: {counts.parameters / 1e6:.2f} M ({counts.parameters:,})",
    ]
