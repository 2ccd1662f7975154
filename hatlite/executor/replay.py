"""Run a `.hbir` file on recorded inputs and compare every value with the recorded integers, in a process of its own.

::

    python -m hatlite.executor.replay PROGRAM.hbir RECORDING.npz… [--engine reference]

A recording is a NumPy `.npz` archive: ``input:<name>`` holds the array of each input, ``value:<name>`` the integers of
each value of the program, all (N, H, W, C). The result goes to standard output as JSON; the exit code is 0 when all
integers are equal, 1 when some differ, 2 when a file cannot be used. With the reference engine nothing here imports
torch, and ``foreign_modules`` names what is in memory of the side that made the recording: agreement is no echo.
"""

import argparse
import json
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.command import run_tool
from hatlite.errors import ProgramError
from hatlite.executor.executor import ENGINES, Executor
from hatlite.program import IntProgram, count_saturated, limits_of, load

__all__ = ["FOREIGN_MODULES", "foreign_modules", "load_recording", "parser", "replay", "save_recording"]

Ints = NDArray[Any]

FOREIGN_MODULES = ("torch", "hatlite.models", "hatlite.quantization")
"""What belongs to the other side of the comparison."""


def save_recording(path: Path, inputs: Mapping[str, Ints], values: Mapping[str, Ints]) -> None:
    """Write a recording.

    Args:
        path: Ends in ``.npz``.
        inputs: Every input by name, (N, H, W, C) in the dtype of its port.
        values: Every value by name, (N, H, W, C) integers of any dtype that holds them.
    """
    arrays = {f"input:{name}": array for name, array in inputs.items()}
    np.savez(path, **arrays, **{f"value:{name}": array for name, array in values.items()})


def load_recording(path: Path, program: IntProgram) -> tuple[dict[str, Ints], dict[str, Ints]]:
    """Return inputs and values, by name, of the recording at `path`.

    Raises:
        ProgramError: The file is missing or damaged, holds something else than integers, or not exactly the values of
            `program`.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:  # np.load leaks a broken file
            arrays = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as cause:
        raise ProgramError(f"{path}: is no readable recording ({cause}); record it again.") from cause
    inputs, values = ({k[6:]: a for k, a in arrays.items() if k[:6] == kind} for kind in ("input:", "value:"))
    odd = next(iter(sorted(set(values) ^ set(program.values))), None)
    if odd is not None:
        holder, other = ("the recording", "the program") if odd in values else ("the program", "the recording")
        raise ProgramError(f"{path}: {holder} has a value {odd!r}, {other} has none; record the program's own graph.")
    for key, array in arrays.items():
        if array.dtype.kind not in "iu":
            raise ProgramError(f"{path}: {key} holds {array.dtype}; expected integers.")
    return inputs, values


def replay(program: IntProgram, recordings: Iterable[Path], engine: str = "reference") -> dict[str, dict[str, int]]:
    """Run `program` on every recording and compare.

    Returns:
        Value → ``elements`` compared, ``differing`` ones, ``max_lsb``, the largest difference, and ``saturated``, how
        many stand at the limits of what rounds to them (:mod:`hatlite.program.saturation`); in program order. A value
        that cannot saturate has no ``saturated``.

    Raises:
        ProgramError: A recording cannot be used, or the engine is unknown.
    """
    executor = Executor(program, engine)
    limits = limits_of(program)
    counts = {name: {"elements": 0, "differing": 0, "max_lsb": 0} for name in program.values}
    for name in limits:
        counts[name]["saturated"] = 0
    for path in recordings:
        inputs, values = load_recording(path, program)
        computed = executor.run(inputs, keep="all")
        for name, recorded in values.items():
            _compare(counts[name], computed[name], recorded, f"{path}: value {name!r}")
        for name, clamp in limits.items():
            counts[name]["saturated"] += count_saturated(computed[name], clamp)
    return counts


def _compare(counts: dict[str, int], computed: Ints, recorded: Ints, what: str) -> None:
    if computed.shape != recorded.shape:
        raise ProgramError(f"{what} has shape {recorded.shape}; the program computes {computed.shape}.")
    difference = np.abs(computed.astype(np.int64) - recorded.astype(np.int64))
    counts["elements"] += difference.size
    counts["differing"] += int(np.count_nonzero(difference))
    counts["max_lsb"] = max(counts["max_lsb"], int(difference.max()))


def foreign_modules() -> list[str]:
    """Return the modules in memory that belong to the side that made the recording."""
    return sorted(name for name in sys.modules if name.startswith(FOREIGN_MODULES))


def parser() -> argparse.ArgumentParser:
    """Return the parser of this module's command."""
    parser = argparse.ArgumentParser(prog="python -m hatlite.executor.replay", description=__doc__.split("\n\n")[0])
    parser.add_argument("program", type=Path, help=".hbir file")
    parser.add_argument("recordings", type=Path, nargs="+", metavar="recording", help=".npz file")
    parser.add_argument("--engine", choices=tuple(ENGINES), default="reference", help="default: reference")
    return parser


def main(args: argparse.Namespace) -> int:
    """Print the comparison as JSON; return 0 when all integers are equal, else 1."""
    counts = replay(load(args.program), args.recordings, args.engine)
    print(json.dumps({"engine": args.engine, "foreign_modules": foreign_modules(), "values": counts}))
    return int(any(count["differing"] for count in counts.values()))


if __name__ == "__main__":
    arguments = parser().parse_args()
    sys.exit(run_tool(lambda: main(arguments)))
