"""Programs as `.hbir` files: self-contained, versioned, checksummed, the same bytes for the same program.

Layout, all numbers little-endian::

    4 bytes   magic "HBIR"
    uint16    format version
    uint64    length of the header
    header    msgpack: the program's fields; arrays as [dtype, shape, offset]
    arrays    raw values, one after the other
    32 bytes  SHA-256 of everything before

Nothing is executed on loading: a record names one of the classes in :data:`CLASSES`, and its fields have the types that
the class declares. Arrays lie one after the other in the order in which the header names them, so that none is read
twice. Reading takes time and memory in proportion to the size of the file, whatever it holds.
"""

import hashlib
import math
import os
import struct
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hatlite.errors import HatliteError, ProgramError
from hatlite.files import whole_file
from hatlite.program import header
from hatlite.program.constants import Requantize, Source, Weight
from hatlite.program.fields import check_fields
from hatlite.program.ops import OPERATORS
from hatlite.program.program import IntProgram, Port, TensorType
from hatlite.program.verify import verify

__all__ = ["FORMAT_VERSION", "checksum", "dumps", "load", "loads", "save"]

MAGIC = b"HBIR"
FORMAT_VERSION = 1
PREFIX = struct.Struct("<4sHQ")
CHECKSUM_BYTES = hashlib.sha256().digest_size
CLASSES = {cls.__name__: cls for cls in (*OPERATORS.values(), IntProgram, Port, Requantize, Source, TensorType, Weight)}
ARRAY_DTYPES = ("int8", "int16", "int32", "int64", "float64")
MESSAGE_LENGTH = 1000


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
    content = _read(path)
    try:
        return loads(content)
    except ProgramError as problem:
        raise ProgramError(f"{path}: {problem}") from problem


def checksum(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 that the file at `path` ends in, 64 hexadecimal digits; equal programs have equal ones.

    Raises:
        ProgramError: As :func:`load`, without a look at the program itself.
    """
    content = _read(path)
    try:
        _check_envelope(content)
    except ProgramError as problem:
        raise ProgramError(f"{path}: {problem}") from problem
    return content[-CHECKSUM_BYTES:].hex()


def _read(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file whose first ones are those of a program; of any other only these."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(len(MAGIC))
            return start + file.read() if start == MAGIC else start
    except OSError as problem:
        raise ProgramError(f"{path}: cannot be read ({problem.strerror}).") from problem


def dumps(program: IntProgram) -> bytes:
    """Return the bytes of a `.hbir` file with `program`, verified; equal programs give equal bytes.

    Raises:
        ProgramError: The program breaks a rule.
    """
    verify(program)
    blobs = _Blobs()
    packed = header.pack(_encode(program, blobs))
    content = PREFIX.pack(MAGIC, FORMAT_VERSION, len(packed)) + packed + b"".join(blobs.parts)
    return content + hashlib.sha256(content).digest()


def loads(content: bytes) -> IntProgram:
    """Return the verified program in the bytes of a `.hbir` file.

    Raises:
        ProgramError: As :func:`load`; one sentence, whatever the bytes are.
    """
    try:
        length = _check_envelope(content)
        body = memoryview(content)[PREFIX.size : -CHECKSUM_BYTES]
        arrays = _Arrays(body[length:])
        program = _decode(header.unpack(bytes(body[:length])), arrays)
        arrays.finish()
        if not isinstance(program, IntProgram):
            raise ProgramError("holds no program; write it again with program.save.")
        return verify(program)
    except HatliteError as problem:
        raise ProgramError(_short(str(problem))) from problem
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as problem:
        raise ProgramError(
            f"the structure is invalid ({_short(str(problem))}); write it again with program.save."
        ) from problem


def _short(text: str) -> str:
    """Cut what a name of a million letters would make of a message."""
    return text if len(text) <= MESSAGE_LENGTH else f"{text[: MESSAGE_LENGTH - 1]}…"


def _check_envelope(content: bytes) -> int:
    """Return the length of the header after checking kind, version, length and checksum."""
    if content[: len(MAGIC)] != MAGIC:
        raise ProgramError("is not a .hbir file; expected one written by program.save.")
    if len(content) < PREFIX.size + CHECKSUM_BYTES:
        raise ProgramError(f"is truncated at {len(content)} bytes; copy or lower it again.")
    _, version, length = PREFIX.unpack_from(content)
    if version != FORMAT_VERSION:
        raise ProgramError(
            f"has format version {version}; this hatlite reads version {FORMAT_VERSION}. Lower the network again."
        )
    if hashlib.sha256(memoryview(content)[:-CHECKSUM_BYTES]).digest() != content[-CHECKSUM_BYTES:]:
        raise ProgramError("is damaged: the checksum differs (truncated or changed); copy or lower it again.")
    if length > len(content) - PREFIX.size - CHECKSUM_BYTES:
        raise ProgramError(f"states a header of {length} bytes and has {len(content)} in all; lower it again.")
    return length


class _Blobs:
    """The arrays of a file that is written."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def append(self, array: NDArray[Any]) -> int:
        """Keep the bytes of `array` and return where they begin."""
        offset = self.size
        self.parts.append(array.astype(array.dtype.newbyteorder("<")).tobytes())
        self.size += len(self.parts[-1])
        return offset


class _Arrays:
    """The arrays of a file that is read, in the order in which they were written, each byte once."""

    def __init__(self, content: memoryview) -> None:
        self.content = content
        self.position = 0

    def take(self, name: Any, shape: Any, offset: Any) -> NDArray[Any]:
        """Return the next array.

        Args:
            name: Of its dtype, as all of these as the header states it.
            shape: List of whole numbers.
            offset: Where it should begin.
        """
        if name not in ARRAY_DTYPES:
            raise ProgramError(f"holds an array of {name!r}; this version knows {', '.join(ARRAY_DTYPES)}.")
        if type(shape) is not list or any(type(side) is not int or side < 0 for side in shape):
            raise ProgramError(f"holds an array of shape {shape!r}; expected whole numbers of 0 or more.")
        dtype = np.dtype(name)
        end = self.position + math.prod(shape) * dtype.itemsize
        if offset != self.position or end > len(self.content):
            raise ProgramError(
                f"holds an array of {name} and shape {shape} at byte {offset}; expected it at byte {self.position},"
                f" and up to byte {len(self.content)}."
            )
        values = np.frombuffer(self.content[self.position : end], dtype.newbyteorder("<"))
        self.position = end
        return values.astype(dtype).reshape(shape)

    def finish(self) -> None:
        """Refuse bytes behind the last array."""
        if self.position != len(self.content):
            raise ProgramError(f"holds {len(self.content) - self.position} bytes that belong to no array.")


def _encode(item: Any, blobs: _Blobs) -> Any:
    """Return plain values for the header; the bytes of arrays go to `blobs`."""
    if isinstance(item, np.ndarray):
        return {"class": "array", "dtype": item.dtype.name, "shape": list(item.shape), "offset": blobs.append(item)}
    if is_dataclass(item):
        values = {f.name: _encode(getattr(item, f.name), blobs) for f in fields(item)}
        return {"class": type(item).__name__, "fields": values}
    if isinstance(item, dict):
        return {"class": "dict", "items": {key: _encode(value, blobs) for key, value in item.items()}}
    if isinstance(item, tuple):
        return {"class": "tuple", "items": [_encode(value, blobs) for value in item]}
    return [_encode(value, blobs) for value in item] if isinstance(item, list) else item


def _decode(item: Any, arrays: _Arrays) -> Any:
    if isinstance(item, list):
        return [_decode(value, arrays) for value in item]
    if not isinstance(item, dict):
        return item
    kind = item["class"]
    if kind == "array":
        return arrays.take(item["dtype"], item["shape"], item["offset"])
    if kind == "dict":
        return {key: _decode(value, arrays) for key, value in item["items"].items()}
    if kind == "tuple":
        return tuple(_decode(value, arrays) for value in item["items"])
    if kind not in CLASSES:
        raise ProgramError(
            f"holds a {kind!r}, which this version does not know; it knows {', '.join(sorted(CLASSES))}."
        )
    values = {name: _decode(value, arrays) for name, value in item["fields"].items()}
    check_fields(CLASSES[kind], values)
    return CLASSES[kind](**values)
