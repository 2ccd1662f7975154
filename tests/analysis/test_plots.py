import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hatlite.analysis.pictures import class_color
from hatlite.analysis.plots import ABOUT, GRID, MARGIN, Curve, draw_legend, draw_plot, ticks
from hatlite.analysis.sheets import GROUND
from hatlite.errors import DataError


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 30, [0, 5, 10, 15, 20, 25, 30]),
        (0.5448, 0.551, [0.544, 0.546, 0.548, 0.55, 0.552]),
        (-3e-5, 6e-5, [-4e-05, -2e-05, 0, 2e-05, 4e-05, 6e-05]),
        (4, 4, [2, 3, 4, 5, 6]),
        (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ],
)
def test_ticks_are_round_numbers(low, high, expected):
    assert ticks(low, high) == expected


@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6))
def test_ticks_cover_the_values_and_are_few(low, width):
    found = ticks(low, low + width)
    assert 1 <= len(found) - 1 <= ABOUT
    slack = 1e-6 * (found[1] - found[0])
    assert found[0] <= low + slack and low + width <= found[-1] + slack


@pytest.mark.parametrize(("low", "high"), [(0, float("nan")), (2, 1), (0, float("inf"))])
def test_limits_must_be_numbers_in_order(low, high):
    with pytest.raises(DataError, match=r"ticks: the limits are .*; expected finite numbers in order"):
        ticks(low, high)


def curve(y, number=0, behind=None):
    return Curve(np.arange(len(y), dtype=float), np.array(y, float), number, behind)


def inked(picture, color):
    return np.nonzero((picture == color).all(axis=2))


def test_a_curve_stands_whole_between_its_ticks():
    picture = draw_plot("loss", [curve([0.0, 10.0])], "epoch")
    grid_rows, grid_columns = inked(picture, GRID)
    rows, columns = inked(picture, class_color(0))
    assert 0 < rows.min() - grid_rows.min() <= MARGIN and 0 < grid_rows.max() - rows.max() <= MARGIN
    assert columns[rows.argmax()] < columns[rows.argmin()]  # it rises to the right
    assert grid_columns.min() < columns.min() and columns.max() < grid_columns.max()


def test_a_single_point_and_a_constant_are_seen():
    for values in ([3.0], [3.0] * 50):
        assert len(inked(draw_plot("val/mAP", [curve(values)], "epoch"), class_color(0))[0]) > 20


def test_what_was_smoothed_stays_behind_it():
    noisy = np.array([0.0, 10, 0, 10])
    plain = draw_plot("loss", [curve([5, 5, 5, 5], behind=noisy)], "epoch")
    assert abs(np.ptp(inked(plain, class_color(0))[0]) - 8) <= 3  # a straight line of dots
    assert not np.array_equal(plain, draw_plot("loss", [curve([5, 5, 5, 5])], "epoch"))


def test_a_legend_takes_the_rows_that_it_needs():
    names = [f"a run with a long name, number {number}" for number in range(4)]
    wide, narrow = draw_legend(names, 3000), draw_legend(names, 600)
    assert (wide.shape[1], narrow.shape[1]) == (3000, 600) and narrow.shape[0] > 2 * wide.shape[0]
    for legend in (wide, narrow):
        tops = [inked(legend, class_color(number))[0].min() for number in range(4)]
        assert tops == sorted(tops)
    assert (narrow[:, -20:] == GROUND).all()
    assert draw_legend(["far too long " * 50], 600).shape == (*wide.shape[:1], 600, 3)


def test_nothing_to_draw_is_refused():
    with pytest.raises(DataError, match="There is no point to draw of 'lr'"):
        draw_plot("lr", [curve([])], "epoch")
