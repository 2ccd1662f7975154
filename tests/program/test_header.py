import math

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.errors import ProgramError
from hatlite.program.header import MAX_DEPTH, pack, unpack

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.text(max_size=3), inner, max_size=20),
    max_leaves=60,
)


@settings(max_examples=200, derandomize=True)
@given(PLAIN)
def test_what_is_packed_is_unpacked(item):
    assert unpack(pack(item)) == item


@settings(max_examples=200, derandomize=True)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_sentence(data):
    try:
        item = unpack(data)
    except ProgramError:
        return
    assert repr(item) == repr(msgpack.unpackb(data))


@pytest.mark.parametrize("length", [0, 15, 16, 31, 32, 255, 256, 65535, 65536])
def test_every_width_of_a_length(length):
    for item in ("x" * length, [None] * length, {f"{i:x}": 0 for i in range(length)}):
        assert unpack(pack(item)) == item


def test_the_depth_is_bounded():
    def nested(depth):
        return b"\x91" * depth + b"\xc0"

    item = unpack(nested(MAX_DEPTH))
    for _ in range(MAX_DEPTH):
        (item,) = item
    assert item is None
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(
            ProgramError, match=f"the header is nested deeper than {MAX_DEPTH} levels; write the file again"
        ):
            unpack(nested(depth))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "states 1 more values at byte 0 of 0"),
        (b"\xdd\xff\xff\xff\xff\x01", "states 4294967295 more values at byte 5 of 6"),
        (b"\xdf\xff\xff\xff\xff\x01", "states 8589934590 more values at byte 5 of 6"),
        (b"\x92" * 5 + b"\x01" * 5, "states 6 more values at byte 5 of 10"),
        (b"\xdb\x00\x00\x00\x09abc", "states a value that ends at byte 14 of 8"),
        (b"\xcf\x00", "states a value that ends at byte 9 of 2"),
        (b"\xdc\x00", "states a value that ends at byte 3 of 2"),
        (b"\xc4\x01x", "holds a value of kind 0xc4, which no header has"),
        (b"\xd4\x01x", "holds a value of kind 0xd4, which no header has"),
        (b"\x01\x02", "ends 1 bytes before its stated length"),
        (b"\xa1\xff", r"is invalid \('utf-8' codec can't decode"),
        (b"\x81\x01\x02", r"is invalid \(int is not allowed for map key"),
    ],
)
def test_lengths_and_kinds_are_checked_before_anything_is_made(data, text):
    with pytest.raises(ProgramError, match=f"^the header {text}.*; write the file again"):
        unpack(data)


@pytest.mark.parametrize(
    ("item", "text"),
    [(2**64, "out of range"), (np.int64(1), "can not serialize 'numpy.int64'"), ("\ud800", "surrogates not allowed")],
)
def test_what_no_header_holds(item, text):
    with pytest.raises(ProgramError, match=f"cannot be written: .*{text}.*; expected plain numbers and valid text"):
        pack([item])


def test_floats_keep_every_bit():
    assert unpack(pack([5e-324, -0.0, math.inf])) == [5e-324, 0.0, math.inf]
