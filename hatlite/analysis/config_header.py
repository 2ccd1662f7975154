"""What was measured with a config, read from the table that stands in its header.

A config opens with a docstring: its commands, and what they gave. The numbers stand in one Markdown table, whose first
column is called ``stage``::

    | stage       | bayes-sim mAP | AP50   | AP75   | seconds | tidl mAP | AP50   | AP75   | seconds |
    | ----------- | ------------- | ------ | ------ | ------- | -------- | ------ | ------ | ------- |
    | float       | 0.5479        | 0.8641 | 0.6106 | 1940    |          |        |        |         |
    | calibration | 0.5510        | 0.8625 | 0.6083 | 18      | 0.5412   | 0.8570 | 0.6001 | 19      |
    | qat         | 0.5448        | 0.8664 | 0.5933 | 893     | 0.5433   | 0.8611 | 0.5920 | 901     |
    | int_infer   | 0.5448        | 0.8664 | 0.5933 | 35      | 0.5433   | 0.8611 | 0.5920 | 36      |

- A row is a stage of the config, at most once; a stage that was not measured has no row.
- ``mAP``, ``AP50`` and ``AP75`` are numbers in 0…1; a cell that is empty was not measured.
- A march stands in front of the first of its columns and holds for those to the right, until another one is named.
  Columns before the first named march are of the config's own ``march``, so a table of one march names none.
- The float stage knows no march: its numbers stand once, or are the same everywhere.
- Columns of other names (``seconds``, ``AP50 against float``) are for the reader.

A header without such a table was not measured. Text around it is free.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hatlite.errors import ConfigError, MarchError
from hatlite.march import MARCHES, get_march
from hatlite.registry import nearest

__all__ = ["METRICS", "read_header"]

METRICS = ("mAP", "AP50", "AP75")
_EMPTY = ("", "-", "–")

Measured = dict[str, dict[str, dict[str, float]]]


def read_header(path: str | Path, march: str, stages: Sequence[str]) -> Measured:
    """Return what the header of the config at `path` says was measured.

    Args:
        path: The config file; it is read and not run.
        march: The config's own, for columns that name none.
        stages: Names of the config's stages, the one without a march first.

    Returns:
        March → stage → metric → value in 0…1; what has no number is left out. The first stage's numbers stand under
        every march that is registered, named in the table or not.

    Raises:
        ConfigError: The table has another form; file and line are named.
    """
    table = _Table(Path(path), stages)
    marches = _marches(table, march)
    measured: Measured = {name: {} for name in marches.values()}
    for line, cells in table.rows():
        for column, name in marches.items():
            value = table.number(line, column, cells)
            if value is not None:
                metric = table.columns[column].rpartition(" ")[2]
                measured[name].setdefault(cells[0], {})[metric] = value
    return _without_march(table, measured, stages[0])


class _Table:
    """The table of a header, cell by cell; `columns` is empty where there is none."""

    def __init__(self, path: Path, stages: Sequence[str]) -> None:
        self.path = path
        self.stages = list(stages)
        self.columns: list[str] = []
        self.line = 0
        self.body: list[tuple[int, list[str]]] = []
        for line, cells in _tables(path):
            if cells[0] == "stage" and self.columns:
                raise self.problem(line, f"a second table of stages; the first stands at line {self.line}. Keep one")
            if cells[0] == "stage":
                self.columns, self.line = cells, line
            elif self.columns and line == self.line + 1 + len(self.body):
                self.body.append((line, cells))
            elif self.columns and cells[0] in stages:
                raise self.problem(
                    line, f"stage {cells[0]!r} stands apart from the table of line {self.line}; join them"
                )

    def problem(self, line: int, said: str, hint: str = "") -> ConfigError:
        """Return an error at `line`."""
        where = f"{self.path}:{line}"
        return ConfigError(f"{where}: {said}.{hint}", path=where)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield line and cells of every stage."""
        seen: dict[str, int] = {}
        for line, cells in self.body:
            if len(cells) != len(self.columns):
                said = f"this row has {len(cells)} cells and the table {len(self.columns)} columns"
                raise self.problem(line, said)
            if all(set(cell) <= set("-: ") and cell for cell in cells):
                continue
            name = cells[0]
            if name not in self.stages:
                said = f"the row is called {name!r}; expected a stage of the config: {', '.join(self.stages)}"
                raise self.problem(line, said, nearest(name, self.stages))
            if name in seen:
                raise self.problem(line, f"stage {name!r} stands at line {seen[name]} already")
            seen[name] = line
            yield line, cells

    def number(self, line: int, column: int, cells: Sequence[str]) -> float | None:
        """Return the value of a cell in 0…1; None for one that is empty."""
        cell = cells[column]
        if cell in _EMPTY:
            return None
        try:
            value = float(cell)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            said = f"{self.columns[column]} of stage {cells[0]!r} is {cell!r}; expected a number in 0…1, or nothing"
            raise self.problem(line, said)
        return value


def _tables(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of every line of a table in the docstring of a file; a row may miss its first bar."""
    text = path.read_text(encoding="utf-8")
    body = ast.parse(text, filename=str(path)).body
    first = body[0] if body else None
    if not isinstance(first, ast.Expr) or not isinstance(first.value, ast.Constant):
        return
    inside = False
    for number in range(first.lineno, (first.end_lineno or first.lineno) + 1):
        line = text.splitlines()[number - 1].strip()
        inside = line.startswith("|") or (inside and "|" in line)
        if inside:
            yield number, [cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")]


def _marches(table: _Table, march: str) -> dict[int, str]:
    """Return the march of every column of a metric, by its index."""
    found: dict[int, str] = {}
    metrics: set[tuple[str, str]] = set()
    for index, column in enumerate(table.columns[1:], 1):
        named, _, metric = column.rpartition(" ")
        if metric in METRICS and named:
            march = _named(table, column, named)
        elif metric not in METRICS and column.partition(" ")[0] in MARCHES:
            known = ", ".join(METRICS)
            raise table.problem(table.line, f"column {column!r} names a march and none of {known}")
        if metric in METRICS:
            if (march, metric) in metrics:
                raise table.problem(table.line, f"{metric} on {march} has two columns")
            metrics.add((march, metric))
            found[index] = march
    return found


def _named(table: _Table, column: str, name: str) -> str:
    try:
        return get_march(name).name
    except MarchError as cause:
        said, _, more = str(cause).partition("\n")
        raise table.problem(table.line, f"column {column!r}: {said.removesuffix('.')}", f"\n{more}") from cause


def _without_march(table: _Table, measured: Measured, stage: str) -> Measured:
    """Give every march the numbers of `stage`, which are the same on all."""
    found: Mapping[str, Mapping[str, float]] = {march: rows.pop(stage, {}) for march, rows in measured.items()}
    common: dict[str, float] = {}
    for march, metrics in found.items():
        for metric, value in metrics.items():
            if common.setdefault(metric, value) != value:
                said = f"stage {stage!r} has {metric} {common[metric]} and, on {march}, {value}; it knows no march"
                raise table.problem(table.line, f"{said}, so its numbers stand once or are the same")
    if not common:
        return measured
    return {march: {stage: common, **measured.get(march, {})} for march in MARCHES}
