import csv
import io

import numpy as np
import pytest

from hatlite.analysis import confusion_csv, confusion_lines, draw_confusion
from hatlite.analysis.confusion import EMPTY, RIGHT, WRONG
from hatlite.errors import DataError

COUNTS = np.array([[8, 2, 0], [0, 0, 5], [0, 3, 0]])
NAMES = ["cat", "dog"]


def test_shares_of_a_row_are_colours():
    picture = draw_confusion(COUNTS, NAMES, "float")
    cells = {name: (picture == color).all(axis=2).sum() for name, color in (("empty", EMPTY), ("wrong", WRONG))}
    side = 150
    inner = (side - 2) ** 2
    assert cells["empty"] == pytest.approx(5 * inner, rel=0.01)
    assert (
        0.9 * 2 * inner < cells["wrong"] < 2 * inner
    )  # all of the dogs missed, all of the background a dog; less text
    strong = [round(e + (s - e) * 0.8**0.5) for e, s in zip(EMPTY, RIGHT, strict=True)]
    assert 0.9 * inner < (picture == strong).all(axis=2).sum() < inner


def test_names_that_do_not_fit_across_stand_upright():
    many = np.eye(31, dtype=np.int64)
    short, long = (draw_confusion(many, [name] * 30, "") for name in ("a", "a much longer name"))
    assert long.shape[0] > short.shape[0] + 60 and long.shape[1] > short.shape[1] + 60


def test_a_line_for_each_class():
    assert confusion_lines(COUNTS, NAMES) == [
        "class  objects  found  confused  missed  of background  most often taken for",
        "cat         10      8         2       0              0  dog (2)",
        "dog          5      0         0       5              3",
    ]


def test_csv_has_names_on_both_sides():
    rows = list(csv.reader(io.StringIO(confusion_csv(COUNTS, ["cat, big", "dog"]))))
    assert rows[0] == ["", "cat, big", "dog", "missed"]
    assert rows[1] == ["cat, big", "8", "2", "0"]
    assert rows[3] == ["background", "0", "3", "0"]


@pytest.mark.parametrize("use", [confusion_csv, confusion_lines, lambda *parts: draw_confusion(*parts, "")])
def test_names_must_fit(use):
    with pytest.raises(DataError, match=r"The confusion matrix is \(3, 3\) for 1 classes; expected one row and column"):
        use(COUNTS, ["cat"])
