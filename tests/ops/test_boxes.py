"""Box arithmetic: worked by hand, as properties, and against torchvision."""

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.ops.boxes import (
    apply_matrix,
    boxes_to_original,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    geometric_centerness,
    giou,
    iou,
    points_for_levels,
)

COORDINATE = st.integers(0, 200).map(float)
BOX = st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE).map(
    lambda b: [min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]) + 1, max(b[1], b[3]) + 1]
)


def test_points_are_cell_centres_row_by_row():
    points, strides = points_for_levels([(1, 2), (1, 1)], [8, 16])
    assert points.tolist() == [[4, 4], [12, 4], [8, 8]]
    assert strides.tolist() == [8, 8, 16]


def test_encode_and_decode_by_hand():
    point, box = torch.tensor([10.0, 20.0]), torch.tensor([7.0, 18.0, 15.0, 26.0])
    assert encode_boxes(point, box).tolist() == [3, 2, 5, 6]
    assert decode_boxes(point, torch.tensor([3.0, 2.0, 5.0, 6.0])).tolist() == box.tolist()


@given(BOX, st.tuples(COORDINATE, COORDINATE))
def test_decode_undoes_encode(box, point):
    box, point = torch.tensor(box), torch.tensor(point)
    assert torch.equal(decode_boxes(point, encode_boxes(point, box)), box)


def test_centerness_by_hand():
    ltrb = torch.tensor([[2.0, 3.0, 2.0, 3.0], [1.0, 2.0, 4.0, 8.0], [0.0, 1.0, 5.0, 1.0]])
    assert geometric_centerness(ltrb).tolist() == [1.0, 0.25, 0.0]


def test_iou_and_giou_by_hand():
    a, b = torch.tensor([0.0, 0.0, 2.0, 2.0]), torch.tensor([1.0, 0.0, 3.0, 2.0])
    assert iou(a, b).item() == pytest.approx(2 / 6)
    assert giou(a, b).item() == pytest.approx(2 / 6)  # the hull is the union
    apart = torch.tensor([4.0, 0.0, 6.0, 2.0])
    assert iou(a, apart).item() == 0.0
    assert giou(a, apart).item() == pytest.approx(-4 / 12)


def test_empty_boxes_overlap_nothing():
    empty = torch.zeros(4)
    assert iou(empty, empty).item() == 0.0
    assert giou(empty, empty).item() == 0.0


@settings(max_examples=50)
@given(st.lists(st.tuples(BOX, BOX), min_size=1, max_size=5))
def test_overlaps_agree_with_torchvision(pairs):
    a, b = (torch.tensor(side) for side in zip(*pairs, strict=True))
    torch.testing.assert_close(iou(a, b), torchvision.ops.box_iou(a, b).diagonal())
    torch.testing.assert_close(giou(a, b), torchvision.ops.generalized_box_iou(a, b).diagonal())


def test_clip():
    boxes = torch.tensor([[-3.0, 2.0, 50.0, 90.0]])
    assert clip_boxes(boxes, (60, 40)).tolist() == [[0, 2, 40, 60]]


def test_matrix_maps_corners_and_keeps_boxes_upright():
    flip = torch.tensor([[-1.0, 0.0, 100.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    boxes = torch.tensor([[10.0, 20.0, 30.0, 40.0]])
    assert apply_matrix(boxes, flip).tolist() == [[70, 20, 90, 40]]
    turn = torch.tensor([[0.0, -1.0, 50.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    assert apply_matrix(boxes, turn).tolist() == [[10, 10, 30, 30]]
    assert apply_matrix(torch.zeros(0, 4), turn).shape == (0, 4)


def test_boxes_return_to_the_original_image():
    # Halved, then moved 10 right.
    matrix = torch.tensor([[0.5, 0.0, 10.0], [0.0, 0.5, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    boxes = torch.tensor([[15.0, 5.0, 60.0, 200.0]])
    assert boxes_to_original(boxes, matrix, (300, 90)).tolist() == [[10, 10, 90, 300]]
    assert boxes_to_original(boxes, matrix.numpy(), (300, 90)).dtype == torch.float32


@given(BOX, st.sampled_from([0.25, 0.5, 2.0]), st.integers(-50, 50))
def test_the_way_back_undoes_the_way_there(box, scale, shift):
    matrix = torch.tensor([[scale, 0.0, shift], [0.0, scale, -shift], [0.0, 0.0, 1.0]], dtype=torch.float64)
    there = apply_matrix(torch.tensor([box]), matrix)
    assert boxes_to_original(there, matrix, (500, 500)).tolist() == [box]
