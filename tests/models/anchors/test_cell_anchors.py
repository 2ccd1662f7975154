"""CellAnchors: order and place."""

import pytest

from hatlite.errors import BuildError
from hatlite.models.anchors.cell_anchors import CellAnchors


def test_levels_rows_cells_and_shapes_in_this_order():
    anchors = CellAnchors((8, 16), [[(4, 2)], [(2, 2), (6, 4)]])
    assert anchors.num_anchors == (1, 2)
    found = anchors.anchors([(2, 2), (1, 1)])
    assert found.tolist() == [
        [2, 3, 6, 5],
        [10, 3, 14, 5],
        [2, 11, 6, 13],
        [10, 11, 14, 13],
        [7, 7, 9, 9],
        [5, 6, 11, 10],
    ]


def test_the_centre_may_lie_in_the_corner():
    assert CellAnchors((8,), [[(4, 2)]], 0.0).anchors([(1, 2)]).tolist() == [[-2, -1, 2, 1], [6, -1, 10, 1]]


def test_levels_that_do_not_rise():
    with pytest.raises(BuildError, match=r"CellAnchors: strides \[16, 8\] must rise .*; write \[8, 16\]"):
        CellAnchors((16, 8), [[(4, 2)], [(2, 2)]])
