"""Curves of training, read from the lines that a run leaves, drawn beside those of other runs.

A line of ``<stage>-scalars.jsonl`` is one JSON object: ``step`` and ``epoch`` (a part of one as a fraction), and values
by name: ``lr``, ``loss/<name>`` of one step, ``val/<metric>`` at the end of an epoch.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.analysis.plots import Curve, draw_legend, draw_plot
from hatlite.analysis.sheets import contact_sheet
from hatlite.errors import ConfigError, DataError, DataNotFoundError
from hatlite.registry import nearest

__all__ = ["SCALARS", "Series", "describe_series", "draw_curves", "find_series", "parse_scalars", "read_scalars"]

SCALARS = "-scalars.jsonl"
"""What the name of a stage's file ends in."""

PLACES = ("step", "epoch")
TOTAL, LOSS = "loss", "loss/"
COLUMNS = 2


def read_scalars(path: Path) -> list[Mapping[str, Any]]:
    """Return the lines of a file of scalars; a last one that was broken off is left out.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: Another line is no JSON object of numbers with a step and an epoch.
    """
    if not path.is_file():
        raise DataNotFoundError(f"There is no file {path}; a stage writes it while it trains.")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        row = parse_scalars(line)
        if row is not None:
            rows.append(row)
        elif number < len(lines):
            raise DataError(
                f"{path}, line {number}: {line[:60]!r} is no JSON object of numbers with a step and an epoch, as"
                " stages write them; remove the line."
            )
    return rows


def parse_scalars(line: str) -> Mapping[str, Any] | None:
    """Return what `line` of such a file says; None if it is no JSON object of numbers with a step and an epoch."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or not all(isinstance(row.get(key), int | float) for key in PLACES):
        return None
    return row if all(isinstance(value, int | float | None) for value in row.values()) else None


@dataclass(frozen=True)
class Series:
    """What one stage of one run wrote.

    Attributes:
        folder: The run's folder, resolved.
        stage: Name of the stage.
        rows: Its lines.
    """

    folder: Path
    stage: str
    rows: Sequence[Mapping[str, Any]]

    def keys(self) -> list[str]:
        """Return the names of all values, in the order in which they come, and ``loss``, the sum of the losses."""
        names = dict.fromkeys(key for row in self.rows for key in row if key not in PLACES)
        return [*([TOTAL] if any(key.startswith(LOSS) for key in names) else []), *names]

    def points(self, key: str, by: str = "epoch") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the places `by` (``epoch`` or ``step``) and the values of `key`, (N,) each; only finite ones."""
        pairs = [(row[by], value) for row in self.rows if math.isfinite(value := _value(row, key))]
        places, values = np.array(pairs, np.float64).reshape(-1, 2).T
        return places, values


def _value(row: Mapping[str, Any], key: str) -> float:
    """Return a value of `row`, NaN where there is none."""
    parts = [value for name, value in row.items() if name == key or (key == TOTAL and name.startswith(LOSS))]
    return math.nan if not parts or None in parts else sum(parts)


def find_series(places: Sequence[Path], stages: Sequence[str] = ()) -> list[Series]:
    """Return what the stages of several runs wrote, run by run.

    Args:
        places: Folders of runs, or single files.
        stages: Those to take; empty for all that a run has.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: A file is damaged, or has no point yet.
    """
    return [_read(path) for place in places for path in _files(place, stages)]


def _files(place: Path, stages: Sequence[str]) -> list[Path]:
    """Return the files of a run, in the order in which they were written; or the file that `place` is."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise DataNotFoundError(f"There is no {place}; name the folder of a run (ckpt_dir), or a file in it.")
    files = sorted(place.glob(f"*{SCALARS}"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    if not files:
        raise DataNotFoundError(
            f"{place} holds no file *{SCALARS}; a stage writes it while it trains, into the folder of its run"
            " (ckpt_dir)."
        )
    there = [_stage(path) for path in files]
    missing = [stage for stage in stages if stage not in there]
    if missing:
        raise DataNotFoundError(
            f"{place} holds no file {missing[0]}{SCALARS}; of its stages {', '.join(there)} wrote one."
            f"{nearest(missing[0], there)}"
        )
    return [path for path in files if not stages or _stage(path) in stages]


def _stage(path: Path) -> str:
    return path.name.removesuffix(SCALARS)


def _read(path: Path) -> Series:
    rows = read_scalars(path)
    if not rows:
        raise DataError(f"{path} has no line yet; the first comes after a few steps.")
    return Series(path.resolve().parent, _stage(path), rows)


def named(series: Sequence[Series]) -> list[str]:
    """Return a name for each of `series`: the stage, the run, or both, whichever tells them apart."""
    runs, stages = _runs(series), {one.stage for one in series}
    if len(runs) == 1:
        return [one.stage for one in series]
    return [runs[one.folder] if len(stages) == 1 else f"{runs[one.folder]} {one.stage}" for one in series]


def _runs(series: Sequence[Series]) -> dict[Path, str]:
    """Return the shortest end of each folder's path that no other one of them has."""
    folders = list(dict.fromkeys(one.folder for one in series))
    names = {}
    for folder in folders:
        ends = (Path(*folder.parts[-size:]) for size in range(1, len(folder.parts) + 1))
        taken = [other.parts for other in folders if other != folder]
        names[folder] = str(next(end for end in ends if all(parts[-len(end.parts) :] != end.parts for parts in taken)))
    return names


def draw_curves(
    series: Sequence[Series],
    keys: Sequence[str] = (),
    *,
    names: Sequence[str] = (),
    by: str = "epoch",
    smooth: float = 0.0,
) -> NDArray[np.uint8]:
    """Draw a plot for each key, with a curve for each of `series` that has values of it.

    Args:
        series: What to compare.
        keys: Names of values, such as ``loss/cls``; ``loss`` is the sum of the losses. Empty for the losses, the
            learning rate, and mAP and AP50.
        names: One per series; empty for those of :func:`named`.
        by: What x is, ``epoch`` or ``step``.
        smooth: 0 up to 1: share of the past in a moving average over the points of losses; they stay visible behind.

    Returns:
        (H, W, 3) uint8 RGB, the names on top, then two plots beside one another.

    Raises:
        ConfigError: Nobody wrote one of the keys, `names` has another length than `series`, or `smooth` is 1.
    """
    if names and len(names) != len(series):
        raise ConfigError(
            f"The legend has {', '.join(names)} for {', '.join(named(series))}; give {len(series)} names, one for each."
        )
    if not 0 <= smooth < 1:
        raise ConfigError(f"smooth is {smooth}; expected a number from 0 up to, but not including, 1.")
    plots = [draw_plot(key, _curves(series, key, by, smooth), by) for key in keys or default_keys(series)]
    columns = min(COLUMNS, len(plots))
    sheet = contact_sheet([plots[start : start + columns] for start in range(0, len(plots), columns)])
    return np.concatenate([draw_legend(names or named(series), sheet.shape[1]), sheet])


def _curves(series: Sequence[Series], key: str, by: str, smooth: float) -> list[Curve]:
    """Return a curve of `key` for each of `series`; only losses are smoothed, for only they are of single steps."""
    share = smooth if key.startswith(TOTAL) else 0.0
    points = [one.points(key, by) for one in series]
    if not any(len(x) for x, _ in points):
        raise ConfigError(_unknown(key, series))
    return [Curve(x, smoothed(y, share), number, y if share else None) for number, (x, y) in enumerate(points)]


def default_keys(series: Sequence[Series]) -> list[str]:
    """Return what is drawn of `series` where nobody chooses: losses, their sum first, rate, mAP and AP50."""
    there = list(dict.fromkeys(key for one in series for key in one.keys()))
    losses = [key for key in there if key.startswith(LOSS)]
    wanted = [TOTAL, *(losses if len(losses) > 1 else []), "lr", "val/mAP", "val/AP50"]
    return [key for key in wanted if key in there]


def smoothed(values: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Return the moving average of `values` (N,) in which the past has `share`, 0 up to 1, without a pull to 0."""
    mean, weight, found = 0.0, 0.0, np.empty_like(values)
    for index, value in enumerate(values):
        mean, weight = share * mean + (1 - share) * value, share * weight + (1 - share)
        found[index] = mean / weight
    return found


def _unknown(key: str, series: Sequence[Series]) -> str:
    there = list(dict.fromkeys(known for one in series for known in one.keys()))
    whose = ", ".join(_runs(series).values())
    return f"No value {key!r} was written by {whose}; there are {', '.join(there)}.{nearest(key, there)}"


def describe_series(series: Sequence[Series], names: Sequence[str] = ()) -> list[str]:
    """Return a line for each of `series`: how far it came, its last loss, its best mAP and when."""
    lines = []
    for one, name in zip(series, names or named(series), strict=True):
        parts = [f"{name}: epoch {one.rows[-1]['epoch']:g}, step {one.rows[-1]['step']}"]
        losses, (epochs, scores) = one.points(TOTAL)[1], one.points("val/mAP")
        parts += [f"last loss {losses[-1]:.4f}"] if len(losses) else []
        parts += [f"best mAP {scores.max():.4f} at epoch {epochs[scores.argmax()]:g}"] if len(scores) else []
        lines.append(", ".join(parts))
    return lines
