"""Programs as `.hbir` files: self-contained, versioned, checksummed, the same bytes for the same program.

What such a file looks like is in :mod:`hatlite.program.records`; its magic is "HBIR".
"""

import os
from pathlib import Path
from typing import Any

from hatlite.errors import ProgramError
from hatlite.files import whole_file
from hatlite.program.constants import Requantize, Source, Weight
from hatlite.program.ops import OPERATORS
from hatlite.program.program import IntProgram, Port, TensorType
from hatlite.program.records import CHECKSUM_BYTES, RecordFormat
from hatlite.program.verify import verify

__all__ = ["CLASSES", "FORMAT_VERSION", "checksum", "dumps", "load", "loads", "save"]

FORMAT_VERSION = 1
CLASSES = {cls.__name__: cls for cls in (*OPERATORS.values(), IntProgram, Port, Requantize, Source, TensorType, Weight)}
FORMAT = RecordFormat(
    magic=b"HBIR",
    version=FORMAT_VERSION,
    kind=".hbir file",
    writer="program.save",
    remedy="lower the network again",
    classes=CLASSES,
    dtypes=("int8", "int16", "int32", "int64", "float64"),
)


def save(program: IntProgram, path: str | os.PathLike[str]) -> Path:
    """Verify `program` and write it to `path`, whole or not at all.

    Raises:
        ProgramError: The program breaks a rule.
        OutputError: The file cannot be written.
    """
    path = Path(path)
    content = dumps(program)
    with whole_file(path) as unfinished:
        unfinished.write_bytes(content)
    return path


def load(path: str | os.PathLike[str]) -> IntProgram:
    """Read, check and verify the program in `path`.

    Raises:
        ProgramError: The file is missing, damaged, of another version or kind, or holds an invalid program; the message
            names the file.
    """
    content = FORMAT.read(path)
    try:
        return loads(content)
    except ProgramError as problem:
        raise ProgramError(f"{path}: {problem}") from problem


def checksum(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 that the file at `path` ends in, 64 hexadecimal digits; equal programs have equal ones.

    Raises:
        ProgramError: As :func:`load`, without a look at the program itself.
    """
    content = FORMAT.read(path)
    try:
        FORMAT.check(content)
    except ProgramError as problem:
        raise ProgramError(f"{path}: {problem}") from problem
    return content[-CHECKSUM_BYTES:].hex()


def dumps(program: IntProgram) -> bytes:
    """Return the bytes of a `.hbir` file with `program`, verified; equal programs give equal bytes.

    Raises:
        ProgramError: The program breaks a rule.
    """
    return FORMAT.dumps(verify(program))


def loads(content: bytes) -> IntProgram:
    """Return the verified program in the bytes of a `.hbir` file.

    Raises:
        ProgramError: As :func:`load`; one sentence, whatever the bytes are.
    """
    return FORMAT.loads(content, _verified)


def _verified(record: Any) -> IntProgram:
    if not isinstance(record, IntProgram):
        raise ProgramError("holds no program; write it again with program.save.")
    return verify(record)
