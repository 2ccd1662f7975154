"""Files of records: frozen dataclasses and arrays in a versioned, checksummed envelope.

Layout, all numbers little-endian::

    4 bytes   magic
    uint16    format version
    uint64    length of the header
    header    msgpack: the fields of the record; arrays as [dtype, shape, offset]
    arrays    raw values, one after the other
    32 bytes  SHA-256 of everything before

Nothing is executed on loading: a record names one of the classes of its format, and its fields have the types that
the class declares. Arrays lie one after the other in the order in which the header names them, so that none is read
twice. Reading takes time and memory in proportion to the size of the file, whatever it holds.
"""

import hashlib
import math
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hatlite.errors import HatliteError, ProgramError
from hatlite.program import header
from hatlite.program.fields import check_fields

__all__ = ["CHECKSUM_BYTES", "PREFIX", "RecordFormat"]

Built = TypeVar("Built")

PREFIX = struct.Struct("<4sHQ")
CHECKSUM_BYTES = hashlib.sha256().digest_size
MESSAGE_LENGTH = 1000


@dataclass(frozen=True)
class RecordFormat:
    """A kind of file.

    Attributes:
        magic: Its first four bytes.
        version: Of the format; no other one is read.
        kind: What such a file is called in messages, such as ``.hbir file``.
        writer: What writes one, such as ``program.save``.
        remedy: What makes one anew, as an imperative, such as ``lower the network again``.
        classes: Dataclasses that it may hold, by name.
        dtypes: Names of the types that its arrays may have.
    """

    magic: bytes
    version: int
    kind: str
    writer: str
    remedy: str
    classes: Mapping[str, type]
    dtypes: tuple[str, ...]

    def read(self, path: str | os.PathLike[str]) -> bytes:
        """Return the bytes of a file whose first ones are those of this kind; of any other only these.

        Raises:
            ProgramError: The system lets it not be read.
        """
        try:
            with Path(path).open("rb") as file:
                start = file.read(len(self.magic))
                return start + file.read() if start == self.magic else start
        except OSError as problem:
            raise ProgramError(f"{path}: cannot be read ({problem.strerror}).") from problem

    def dumps(self, record: Any) -> bytes:
        """Return the bytes of a file with `record`; equal records give equal bytes.

        Raises:
            ProgramError: It holds something that no header can.
        """
        blobs = _Blobs()
        packed = header.pack(_encode(record, blobs))
        content = PREFIX.pack(self.magic, self.version, len(packed)) + packed + b"".join(blobs.parts)
        return content + hashlib.sha256(content).digest()

    def loads(self, content: bytes, build: Callable[[Any], Built]) -> Built:
        """Return what `build` makes of the record in the bytes of a file.

        Raises:
            ProgramError: They are damaged, of another version or kind, or hold no such record, or `build` refuses it;
                one sentence, whatever the bytes are.
        """
        try:
            length = self.check(content)
            body = memoryview(content)[PREFIX.size : -CHECKSUM_BYTES]
            arrays = _Arrays(body[length:], self.dtypes)
            record = self._decode(header.unpack(bytes(body[:length])), arrays)
            arrays.finish()
            return build(record)
        except HatliteError as problem:
            raise ProgramError(_short(str(problem))) from problem
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as problem:
            raise ProgramError(
                f"the structure is invalid ({_short(str(problem))}); write it again with {self.writer}."
            ) from problem

    def check(self, content: bytes) -> int:
        """Return the length of the header after checking kind, version, length and checksum.

        Raises:
            ProgramError: One of them is wrong.
        """
        if content[: len(self.magic)] != self.magic:
            raise ProgramError(f"is not a {self.kind}; expected one written by {self.writer}.")
        if len(content) < PREFIX.size + CHECKSUM_BYTES:
            raise ProgramError(f"is truncated at {len(content)} bytes; copy it again, or {self.remedy}.")
        _, version, length = PREFIX.unpack_from(content)
        if version != self.version:
            raise ProgramError(
                f"has format version {version}; this hatlite reads version {self.version}: {self.remedy}."
            )
        if hashlib.sha256(memoryview(content)[:-CHECKSUM_BYTES]).digest() != content[-CHECKSUM_BYTES:]:
            raise ProgramError(
                f"is damaged: the checksum differs (truncated or changed); copy it again, or {self.remedy}."
            )
        if length > len(content) - PREFIX.size - CHECKSUM_BYTES:
            raise ProgramError(f"states a header of {length} bytes and has {len(content)} in all; {self.remedy}.")
        return length

    def _decode(self, item: Any, arrays: "_Arrays") -> Any:
        if isinstance(item, list):
            return [self._decode(value, arrays) for value in item]
        if not isinstance(item, dict):
            return item
        kind = item["class"]
        if kind == "array":
            return arrays.take(item["dtype"], item["shape"], item["offset"])
        if kind == "dict":
            return {key: self._decode(value, arrays) for key, value in item["items"].items()}
        if kind == "tuple":
            return tuple(self._decode(value, arrays) for value in item["items"])
        if kind not in self.classes:
            raise ProgramError(
                f"holds a {kind!r}, which this version does not know; it knows {', '.join(sorted(self.classes))}."
            )
        values = {name: self._decode(value, arrays) for name, value in item["fields"].items()}
        check_fields(self.classes[kind], values)
        return self.classes[kind](**values)


def _short(text: str) -> str:
    """Cut what a name of a million letters would make of a message."""
    return text if len(text) <= MESSAGE_LENGTH else f"{text[: MESSAGE_LENGTH - 1]}…"


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

    def __init__(self, content: memoryview, dtypes: tuple[str, ...]) -> None:
        self.content, self.dtypes = content, dtypes
        self.position = 0

    def take(self, name: Any, shape: Any, offset: Any) -> NDArray[Any]:
        """Return the next array.

        Args:
            name: Of its dtype, as all of these as the header states it.
            shape: List of whole numbers.
            offset: Where it should begin.
        """
        if name not in self.dtypes:
            raise ProgramError(f"holds an array of {name!r}; this version knows {', '.join(self.dtypes)}.")
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
