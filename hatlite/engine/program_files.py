"""Files of integer programs, which are told by their names."""

from pathlib import Path

from hatlite import chip, program
from hatlite.program import IntProgram

__all__ = ["is_program", "load_program"]

CHIP_SUFFIX = ".model"
SUFFIXES = (".hbir", ".bc", CHIP_SUFFIX)


def is_program(path: Path) -> bool:
    """Tell by its name whether `path` is the file of an integer program."""
    return path.suffix in SUFFIXES


def load_program(path: Path) -> IntProgram:
    """Return the program of a ``.hbir`` or, where the name ends in ``.model``, of a chip model.

    Raises:
        ProgramError: The file is missing, damaged or of another kind, or holds an invalid program.
    """
    return chip.read_chip_model(path) if path.suffix == CHIP_SUFFIX else program.load(path)
