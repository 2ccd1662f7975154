"""Records in an LMDB: msgpack with a checksum.

Layout of format version 1: the key ``meta`` holds the metadata, the keys ``000000000000``, ``000000000001``, … hold the
records. Every value is a big-endian CRC-32 (4 bytes) of the payload that follows, a msgpack map. The order of the
records is the order in which they were written; the same records give the same values.
"""

import functools
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import lmdb
import msgpack

from hatlite.data.replace import replace_folder
from hatlite.errors import DataError

__all__ = ["FORMAT", "VERSION", "LmdbReader", "write_lmdb"]

FORMAT, VERSION = "hatlite-detection", 1
META = b"meta"
DATA_FILE = "data.mdb"
FIRST_MAP_SIZE = 1 << 26  # bytes; doubled whenever it is full
CHECKSUM_BYTES = 4


def _key(index: int) -> bytes:
    return b"%012d" % index


def _pack(values: Mapping[str, Any]) -> bytes:
    payload = msgpack.packb(values)
    return zlib.crc32(payload).to_bytes(CHECKSUM_BYTES, "big") + payload


def _unpack(value: memoryview | None, where: str) -> dict[str, Any]:
    if value is None:
        raise DataError(f"{where} is missing; pack the data set again.")
    checksum, payload = value[:CHECKSUM_BYTES], value[CHECKSUM_BYTES:]
    if zlib.crc32(payload).to_bytes(CHECKSUM_BYTES, "big") != checksum:
        raise DataError(f"{where} is corrupt: its checksum does not fit; pack the data set again.")
    return msgpack.unpackb(payload)


def _put(env: lmdb.Environment, key: bytes, value: bytes) -> None:
    while True:
        try:
            with env.begin(write=True) as transaction:
                transaction.put(key, value)
            return
        except lmdb.MapFullError:
            env.set_mapsize(2 * env.info()["map_size"])


def write_lmdb(
    target: Path, records: Iterable[Mapping[str, Any]], meta: Callable[[], Mapping[str, Any]], *, force: bool = False
) -> int:
    """Write `records` to the folder `target`, read them all again, and only then let the folder appear.

    Args:
        target: Folder to make.
        records: Maps of msgpack's types.
        meta: Gives the metadata once all records are written; `format`, `version` and `num_records` are added.
        force: Replace an existing folder.

    Returns:
        The number of records.

    Raises:
        DataError: `target` exists and `force` is not set, or what was written does not read back.
    """
    with replace_folder(target, force=force) as folder:
        with lmdb.open(str(folder), map_size=FIRST_MAP_SIZE, sync=False, lock=False) as env:
            count = 0
            for count, record in enumerate(records, 1):
                _put(env, _key(count - 1), _pack(record))
            _put(env, META, _pack({"format": FORMAT, "version": VERSION, "num_records": count, **meta()}))
            env.sync(True)
        with _open(folder) as env:
            for index in range(count):
                _read(env, _key(index), f"record {index} of {target}")
    return count


def _open(folder: Path) -> lmdb.Environment:
    try:
        env = lmdb.open(str(folder), readonly=True, lock=False, readahead=False, meminit=False)
    except lmdb.Error as cause:
        raise DataError(f"{folder} is no packed data set ({cause}); pack it with tools/mscoco_packer.py.") from cause
    used = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    if (folder / DATA_FILE).stat().st_size < used:  # touching a page that the file lacks would kill the process
        env.close()
        raise DataError(f"{folder} is cut off: {DATA_FILE} should have {used} bytes or more; copy it again.")
    return env


def _read(env: lmdb.Environment, key: bytes, where: str) -> dict[str, Any]:
    with env.begin(buffers=True) as transaction:
        return _unpack(transaction.get(key), where)


@functools.cache
def _shared(folder: Path, identity: tuple[int, int]) -> lmdb.Environment:
    """Open each file once per process, as LMDB demands.

    A forked worker keeps its parent's environment: read-only and without a lock table it is nothing but a memory map.
    """
    del identity  # a folder that was packed again is another file
    return _open(folder)


class LmdbReader:
    """Reads what :func:`write_lmdb` wrote; may be pickled, and may cross a fork to loader workers.

    Args:
        folder: Folder of the LMDB.

    Attributes:
        meta: The metadata.

    Raises:
        DataError: The folder is no LMDB, holds another format or version, or has no record.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder).resolve()
        self.meta = _read(self._env(), META, f"The metadata of {folder}")
        found = (self.meta.get("format"), self.meta.get("version"))
        if found != (FORMAT, VERSION):
            raise DataError(
                f"{folder} holds {found[0]} version {found[1]}; this hatlite reads {FORMAT} version {VERSION}. "
                "Pack the data set again with tools/mscoco_packer.py."
            )
        if not len(self):
            raise DataError(f"{folder} holds no record; a data set needs at least one image.")

    def _env(self) -> lmdb.Environment:
        data = self._folder / DATA_FILE
        if not data.is_file():
            raise DataError(
                f"{self._folder} is no packed data set: it has no {DATA_FILE}; pack it with tools/mscoco_packer.py."
            )
        status = data.stat()
        return _shared(self._folder, (status.st_dev, status.st_ino))

    def __len__(self) -> int:
        return int(self.meta["num_records"])

    def read(self, index: int) -> dict[str, Any]:
        """Return record `index`.

        Raises:
            DataError: The record is missing or corrupt.
        """
        index = range(len(self))[index]
        return _read(self._env(), _key(index), f"Record {index} of {self._folder}")
