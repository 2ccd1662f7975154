import multiprocessing
import pickle

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.data import lmdb_store
from hatlite.data.lmdb_store import LmdbReader, write_lmdb
from hatlite.errors import DataError

RECORDS = [{"name": f"{i}.jpg", "image": bytes([i]) * 50, "boxes": [[0.5, 1.0, i, 3.25]]} for i in range(5)]


@pytest.fixture
def packed(tmp_path):
    write_lmdb(tmp_path / "x_lmdb", RECORDS, lambda: {"classes": ["cat"]})
    return tmp_path / "x_lmdb"


def values(folder):
    with lmdb.open(str(folder), readonly=True, lock=False) as env, env.begin() as transaction:
        return list(transaction.cursor())


def overwrite(folder, key, value):
    with lmdb.open(str(folder), lock=False) as env, env.begin(write=True) as transaction:
        transaction.put(key, value) if value else transaction.delete(key)


def test_records_come_back(packed):
    reader = LmdbReader(packed)
    assert [reader.read(i) for i in range(len(reader))] == RECORDS
    assert reader.read(-1) == RECORDS[-1]
    assert reader.meta == {"format": "hatlite-detection", "version": 1, "num_records": 5, "classes": ["cat"]}


def test_the_same_records_give_the_same_values(packed, tmp_path):
    assert write_lmdb(tmp_path / "again", RECORDS, lambda: {"classes": ["cat"]}) == 5
    assert values(packed) == values(tmp_path / "again")


def test_the_layout_is_as_documented(packed):
    keys = [key for key, _ in values(packed)]
    assert keys == [b"000000000000", b"000000000001", b"000000000002", b"000000000003", b"000000000004", b"meta"]
    value = dict(values(packed))[b"000000000003"]
    assert int.from_bytes(value[:4], "big") == lmdb_store.zlib.crc32(value[4:])


def test_the_map_grows_as_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(lmdb_store, "FIRST_MAP_SIZE", 1 << 16)
    large = [{"image": bytes(100_000)} for _ in range(20)]
    write_lmdb(tmp_path / "x", large, dict)
    assert LmdbReader(tmp_path / "x").read(19) == large[19]


@settings(max_examples=25, derandomize=True)
@given(st.data())
def test_every_changed_bit_is_noticed(data):
    value = lmdb_store._pack(RECORDS[0])
    bit = data.draw(st.integers(0, 8 * len(value) - 1))
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    assert lmdb_store._unpack(value, "record 0") == RECORDS[0]
    with pytest.raises(DataError, match="record 0 is corrupt: its checksum does not fit"):
        lmdb_store._unpack(bytes(changed), "record 0")


def test_a_corrupt_record_is_named(packed):
    overwrite(packed, b"000000000002", b"abcdefgh")
    reader = LmdbReader(packed)
    assert reader.read(1) == RECORDS[1]
    with pytest.raises(DataError, match=r"Record 2 of .*x_lmdb is corrupt: its checksum does not fit; pack"):
        reader.read(2)


def test_a_missing_record_is_named(packed):
    overwrite(packed, b"000000000004", None)
    with pytest.raises(DataError, match=r"Record 4 of .*x_lmdb is missing; pack the data set again"):
        LmdbReader(packed).read(4)


def test_metadata_are_needed(packed):
    overwrite(packed, b"meta", None)
    with pytest.raises(DataError, match="The metadata of .*x_lmdb is missing"):
        LmdbReader(packed)


def test_another_version_is_refused(packed):
    meta = {"format": "hatlite-detection", "version": 9, "num_records": 5}
    overwrite(packed, b"meta", lmdb_store._pack(meta))
    with pytest.raises(DataError, match="holds hatlite-detection version 9; this hatlite reads .* version 1"):
        LmdbReader(packed)


def test_an_empty_store_is_refused(tmp_path):
    write_lmdb(tmp_path / "x", [], dict)
    with pytest.raises(DataError, match="x holds no record"):
        LmdbReader(tmp_path / "x")


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"is no packed data set: it has no data\.mdb"):
        LmdbReader(tmp_path)
    (tmp_path / "data.mdb").write_bytes(b"x" * 10_000)
    with pytest.raises(DataError, match=r"is no packed data set \(.*MDB_INVALID"):
        LmdbReader(tmp_path)


def test_a_store_that_was_cut_off_is_refused(packed):
    data = (packed / "data.mdb").read_bytes()
    (packed / "data.mdb").write_bytes(data[:-4096])
    with pytest.raises(DataError, match=rf"x_lmdb is cut off: data\.mdb should have {len(data)} bytes"):
        LmdbReader(packed)


def test_nothing_is_left_when_a_record_fails(tmp_path):
    def records():
        yield RECORDS[0]
        raise KeyError("x")

    with pytest.raises(KeyError):
        write_lmdb(tmp_path / "x", records(), dict)
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_read_back_does_not_appear(tmp_path, monkeypatch):
    monkeypatch.setattr(lmdb_store, "_pack", lambda values: b"0000garbage")
    with pytest.raises(DataError, match=r"record 0 of .*x is corrupt"):
        write_lmdb(tmp_path / "x", RECORDS, dict)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_was_packed_again_is_read_anew(packed):
    assert len(LmdbReader(packed)) == 5
    write_lmdb(packed, RECORDS[:2], dict, force=True)
    reader = LmdbReader(packed)
    assert len(reader) == 2
    assert reader.read(1) == RECORDS[1]


def _read_all(reader):
    return [reader.read(i) for i in range(len(reader))]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_reader_crosses_to_workers(packed, method):
    reader = LmdbReader(packed)
    reader.read(0)
    if method == "spawn":  # what spawn sends is the pickle
        reader = pickle.loads(pickle.dumps(reader))
        assert _read_all(reader) == RECORDS
        return
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(_read_all, (reader,)) == RECORDS
