import numpy as np
import pytest

from hatlite.analysis import contact_sheet, side_by_side
from hatlite.analysis.sheets import GROUND, NOTE, TITLE
from hatlite.errors import DataError


def plain(height, width, value):
    return np.full((height, width, 3), value, np.uint8)


def test_pictures_stand_side_by_side_below_their_titles():
    sheet = side_by_side([plain(480, 640, 50), plain(480, 640, 200)], ("float", "int_infer"), "a note")
    columns = [np.flatnonzero((sheet == value).all(axis=(2)).sum(axis=0) >= 480) for value in (50, 200)]
    assert [len(found) for found in columns] == [640, 640]
    assert columns[0][-1] < columns[1][0]
    bar = sheet[: np.flatnonzero((sheet[:, 100] == 50).all(axis=1))[0]]
    for part, ink in ((bar[:, :300], TITLE), (bar[:, 660:960], TITLE), (bar[:, 1000:], NOTE)):
        assert (part == ink).all(axis=2).any()
    assert not (bar[:, 300:640] != GROUND).any()


def test_sizes_may_differ_and_a_note_without_room_is_left_out():
    sheet = side_by_side([plain(100, 60, 50), plain(40, 60, 200)], ("float", "int_infer"), "a note " * 20)
    assert (sheet == 50).all(axis=2).sum() == 6000
    assert (sheet == 200).all(axis=2).sum() == 2400
    assert not (sheet == NOTE).all(axis=2).any()


@pytest.mark.parametrize(("count", "titles"), [(0, ()), (1, ("a", "b")), (2, ("a",))])
def test_every_picture_has_a_title(count, titles):
    with pytest.raises(DataError, match=f"side_by_side: got {count} pictures and {len(titles)} titles"):
        side_by_side([plain(8, 8, 0)] * count, titles)


def test_a_sheet_holds_every_picture_whole():
    sheet = contact_sheet([[plain(20, 30, 50), plain(10, 30, 100)], [plain(20, 15, 200)]])
    assert [(sheet == value).all(axis=2).sum() for value in (50, 100, 200)] == [600, 300, 300]
    rows, columns = np.nonzero((sheet == 200).all(axis=2))
    assert sheet.shape == (2 * 20 + 3 * 2, 2 * 30 + 3 * 2, 3)
    assert (rows.min(), columns.min()) == (24, 2 + 7)  # second row, in the middle of its cell


def test_wide_pictures_are_shrunk():
    sheet = contact_sheet([[plain(100, 400, 50)]], cell_width=200)
    assert (sheet == 50).all(axis=2).sum() == 50 * 200


@pytest.mark.parametrize("rows", [[], [[]]])
def test_an_empty_sheet_is_refused(rows):
    with pytest.raises(DataError, match="contact_sheet: there is no picture"):
        contact_sheet(rows)
