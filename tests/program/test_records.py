"""A format of one's own: what test_serialize and test_fuzz ask of programs holds for any records."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from hatlite.errors import ProgramError
from hatlite.program.records import PREFIX, RecordFormat


@dataclass(frozen=True, eq=False)
class Point:
    name: str
    places: tuple[int, ...]
    values: NDArray[np.uint8]


FORMAT = RecordFormat(b"POIN", 3, "point file", "this test", "draw it again", {"Point": Point}, ("uint8",))
POINT = Point("a", (1, 2), np.arange(5, dtype=np.uint8))


def test_a_record_survives():
    copy = FORMAT.loads(FORMAT.dumps(POINT), lambda record: record)
    assert (copy.name, copy.places) == ("a", (1, 2))
    np.testing.assert_array_equal(copy.values, POINT.values)


def test_messages_name_the_kind_and_what_makes_it_anew(tmp_path):
    content = FORMAT.dumps(POINT)
    cases = (
        (b"HBIR" + content[4:], "is not a point file; expected one written by this test"),
        (content[:20], "is truncated at 20 bytes; copy it again, or draw it again"),
        (content[:-1] + b"x", "is damaged: the checksum differs .*; copy it again, or draw it again"),
        (PREFIX.pack(b"POIN", 2, 0) + bytes(40), "has format version 2; this hatlite reads version 3: draw it again"),
        (FORMAT.dumps({"a": np.ones(1, np.int8)}), "holds an array of 'int8'; this version knows uint8"),
    )
    for damaged, text in cases:
        with pytest.raises(ProgramError, match=text):
            FORMAT.loads(damaged, lambda record: record)
    with pytest.raises(ProgramError, match=r"none: cannot be read \(No such file"):
        FORMAT.read(tmp_path / "none")


def test_what_the_builder_refuses_is_one_sentence():
    def refuse(record):
        raise LookupError("x" * 5000)

    with pytest.raises(ProgramError, match="the structure is invalid .x+….; write it again with this test") as caught:
        FORMAT.loads(FORMAT.dumps(POINT), refuse)
    assert len(str(caught.value)) < 1200
