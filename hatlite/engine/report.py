"""The stage table: one row per stage, as text, ``stages.md`` and ``stages.json``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatlite.errors import StageError
from hatlite.files import whole_file

__all__ = ["judge", "judge_equal", "read_report", "table", "write_report"]

METRICS = ("mAP", "AP50", "AP75")
COLUMNS = ("stage", *METRICS, "images/s", "seconds", "difference", "gate", "passed")


def read_report(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of ``stages.json`` by stage; empty when there is none yet.

    Raises:
        StageError: The file is damaged.
    """
    path = folder / "stages.json"
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))["stages"]
    except (ValueError, KeyError, TypeError) as cause:
        raise StageError(f"{path} is damaged ({cause}); delete it and run the stages again.") from cause


def write_report(folder: Path, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Write `rows` as ``stages.json`` and ``stages.md``, each whole or not at all."""
    texts = {"stages.json": json.dumps({"stages": rows}, indent=2), "stages.md": table(rows)}
    for name, text in texts.items():
        with whole_file(folder / name) as unfinished:
            unfinished.write_text(f"{text}\n", encoding="utf-8")


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table as Markdown with aligned columns; metrics in 0…1, differences against float's mAP."""
    lines = [list(COLUMNS), *(_cells(name, row) for name, row in rows.items())]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def judge(row: Mapping[str, Any], base: Mapping[str, Any] | None, gate: float | None) -> dict[str, Any]:
    """Return the difference to float in mAP, the gate in words, and whether it was passed; None where unknown.

    Args:
        row: Of the stage.
        base: Row of the float stage, if there is one to compare with.
        gate: Smallest mAP as a fraction of float's.
    """
    if base is None:
        return {"difference_to_float": None, "gate": None, "passed": None}
    difference = row["mAP"] - base["mAP"]
    if gate is None:
        return {"difference_to_float": difference, "gate": None, "passed": None}
    passed = row["mAP"] >= gate * base["mAP"]
    return {"difference_to_float": difference, "gate": f"mAP ≥ {gate:.0%} of float", "passed": passed}


def judge_equal(row: Mapping[str, Any], origin: str, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the verdict of a stage whose metrics must be those of stage `origin`, digit for digit.

    Those that neither measured, such as AP75 by a metric of Pascal VOC, say nothing.
    """
    return {"gate": f"equal to {origin}", "passed": all(row.get(key) == rows[origin].get(key) for key in METRICS)}


def _cells(name: str, row: Mapping[str, Any]) -> list[str]:
    def number(key: str, form: str) -> str:
        return "" if row.get(key) is None else format(row[key], form)

    passed = {None: "", True: "yes", False: "NO"}[row.get("passed")]
    metrics = [number(key, ".4f") for key in METRICS]
    speed = [number("images_per_second", ".1f"), number("seconds", ".0f")]
    return [name, *metrics, *speed, number("difference_to_float", "+.4f"), row.get("gate") or "", passed]
