"""Programs as `.hbir` files: self-contained, versioned, checksummed, the same bytes for the same program.

Layout, all numbers little-endian::

    4 bytes   magic "HBIR"
    uint16    format version
    uint64    length of the header
    header    msgpack: the program's fields; arrays as [dtype, shape, offset]
    arrays    raw values, one after the other
    32 bytes  SHA-256 of everything before

Nothing is executed on loading: a record names one of the classes in :data:`CLASSES`, and its fields are plain values.
"""

import hashlib
import os
import struct
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from hatlite.errors import HatliteError, ProgramError
from hatlite.files import whole_file
from hatlite.program.constants import Requantize, Source, Weight
from hatlite.program.ops import OPERATORS
from hatlite.program.program import IntProgram, Port, TensorType
from hatlite.program.verify import verify

__all__ = ["FORMAT_VERSION", "dumps", "load", "loads", "save"]

MAGIC = b"HBIR"
FORMAT_VERSION = 1
PREFIX = struct.Struct("<4sHQ")
CHECKSUM_BYTES = hashlib.sha256().digest_size
CLASSES = {cls.__name__: cls for cls in (*OPERATORS.values(), IntProgram, Port, Requantize, Source, TensorType, Weight)}
ARRAY_DTYPES = ("int8", "int32", "int64", "float64")


def save(program: IntProgram, path: str | os.PathLike[str]) -> Path:
    """Verify `program` and write it to `path`, whole or not at all.

    Raises:
        ProgramError: The program breaks a rule, or the file cannot be written.
    """
    path = Path(path)
    content = dumps(program)
    try:
        with whole_file(path) as unfinished:
            unfinished.write_bytes(content)
    except OSError as problem:
        raise ProgramError(f"{path}: cannot be written ({problem.strerror}).") from problem
    return path


def load(path: str | os.PathLike[str]) -> IntProgram:
    """Read, check and verify the program in `path`.

    Raises:
        ProgramError: The file is missing, damaged, of another version or kind, or holds an invalid program; the message
            names the file.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as problem:
        raise ProgramError(f"{path}: cannot be read ({problem.strerror}).") from problem
    try:
        return loads(content)
    except HatliteError as problem:
        raise ProgramError(f"{path}: {problem}") from problem


def dumps(program: IntProgram) -> bytes:
    """Return the bytes of a `.hbir` file with `program`, verified; equal programs give equal bytes."""
    verify(program)
    blobs: list[bytes] = []
    header = msgpack.packb(_encode(program, blobs))
    content = PREFIX.pack(MAGIC, FORMAT_VERSION, len(header)) + header + b"".join(blobs)
    return content + hashlib.sha256(content).digest()


def loads(content: bytes) -> IntProgram:
    """Return the verified program in the bytes of a `.hbir` file.

    Raises:
        ProgramError: As :func:`load`.
    """
    length = _check_envelope(content)
    body = memoryview(content)[PREFIX.size : -CHECKSUM_BYTES]
    try:
        program = _decode(msgpack.unpackb(body[:length]), body[length:])
        if not isinstance(program, IntProgram):
            raise ProgramError("holds no program; write it again with program.save.")
        return verify(program)
    except (TypeError, ValueError, LookupError, AttributeError) as problem:
        if isinstance(problem, HatliteError):
            raise
        raise ProgramError(f"the structure is invalid ({problem}); write it again with program.save.") from problem


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
    if hashlib.sha256(content[:-CHECKSUM_BYTES]).digest() != content[-CHECKSUM_BYTES:]:
        raise ProgramError("is damaged: the checksum differs (truncated or changed); copy or lower it again.")
    return length


def _encode(item: Any, blobs: list[bytes]) -> Any:
    """Return plain values for msgpack; the bytes of arrays go to `blobs`."""
    if isinstance(item, np.ndarray):
        offset = sum(map(len, blobs))
        blobs.append(item.astype(item.dtype.newbyteorder("<")).tobytes())
        return {"class": "array", "dtype": item.dtype.name, "shape": list(item.shape), "offset": offset}
    if is_dataclass(item):
        values = {f.name: _encode(getattr(item, f.name), blobs) for f in fields(item)}
        return {"class": type(item).__name__, "fields": values}
    if isinstance(item, dict):
        return {"class": "dict", "items": {key: _encode(value, blobs) for key, value in item.items()}}
    if isinstance(item, tuple):
        return {"class": "tuple", "items": [_encode(value, blobs) for value in item]}
    return [_encode(value, blobs) for value in item] if isinstance(item, list) else item


def _decode(item: Any, arrays: memoryview) -> Any:
    if isinstance(item, list):
        return [_decode(value, arrays) for value in item]
    if not isinstance(item, dict):
        return item
    kind = item["class"]
    if kind == "array":
        return _array(item, arrays)
    if kind == "dict":
        return {key: _decode(value, arrays) for key, value in item["items"].items()}
    if kind == "tuple":
        return tuple(_decode(value, arrays) for value in item["items"])
    if kind not in CLASSES:
        raise ProgramError(
            f"holds a {kind!r}, which this version does not know; it knows {', '.join(sorted(CLASSES))}."
        )
    return CLASSES[kind](**{name: _decode(value, arrays) for name, value in item["fields"].items()})


def _array(item: dict[str, Any], arrays: memoryview) -> NDArray[Any]:
    if item["dtype"] not in ARRAY_DTYPES:
        raise ProgramError(f"holds an array of {item['dtype']!r}; this version knows {', '.join(ARRAY_DTYPES)}.")
    dtype, shape = np.dtype(item["dtype"]), item["shape"]
    values = np.frombuffer(arrays, dtype.newbyteorder("<"), count=int(np.prod(shape)), offset=item["offset"])
    return values.astype(dtype).reshape(shape)
