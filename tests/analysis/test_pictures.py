import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.analysis import describe_detections, draw_detections, draw_ground_truth
from hatlite.analysis.pictures import Frame, _best_place, _overlap, class_color, enlargement
from hatlite.errors import ConfigError, DataError
from hatlite.structures import Detections

BLUE, ORANGE = class_color(0), class_color(1)
CLASSES = ("cat", "dog")


def found(*rows):
    """Return detections of (x1, y1, x2, y2, score, label) rows."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].long())


def grey(height=480, width=640):
    return np.full((height, width, 3), 120, np.uint8)


def has(picture, color):
    return (picture == color).all(axis=2).any()


def test_lines_lie_on_the_edges_of_the_box():
    drawn = draw_detections(grey(), found([100, 200, 300, 400, 0.9, 1]), CLASSES)
    assert drawn.shape == (480, 640, 3)
    assert [x for x in range(640) if tuple(drawn[300, x]) == ORANGE] == [98, 99, 100, 299, 300, 301]
    assert [y for y in range(480) if tuple(drawn[y, 280]) == ORANGE] == [198, 199, 200, 399, 400, 401]
    assert (drawn[210:390, 110:290] == 120).all()  # nothing inside
    assert (drawn[:150] == 120).all() and (drawn[:, 310:] == 120).all()


def test_brackets_stand_at_the_corners_alone():
    drawn = draw_detections(grey(), found([100, 200, 300, 440, 0.9, 1]), CLASSES, corners=True)
    orange = (drawn == ORANGE).all(axis=2)
    for y in (200, 440):  # a quarter of the shorter side, from both ends
        assert np.flatnonzero(orange[y]).tolist() == [*range(98, 149), *range(251, 302)]
    for x in (100, 300):
        assert np.flatnonzero(orange[198:, x]).tolist() == [*range(51), *range(193, 244)]
    assert (drawn[260:380] == 120).all()


def test_the_picture_is_left_alone():
    img = grey()
    draw_detections(img, found([1, 1, 30, 30, 1, 0]), CLASSES)
    assert (img == 120).all()


def test_lines_stay_whole_at_the_borders():
    drawn = draw_detections(grey(), found([-40, -40, 700, 500, 0.9, 0], [700, 100, 800, 200, 0.8, 1]), CLASSES)
    for border in (drawn[:2, 200:600], drawn[-2:, 200:600], drawn[250:400, :2], drawn[250:400, -2:]):
        assert (border == BLUE).all()
    assert tuple(drawn[150, 635]) == ORANGE  # a box beside the picture is shown at its border


def test_nothing_found_nothing_drawn():
    assert (draw_detections(grey(), found(), CLASSES) == grey()).all()
    assert (draw_ground_truth(grey(), np.empty((0, 4)), np.empty(0, int), CLASSES) == grey()).all()


@pytest.mark.parametrize(("score", "shown"), [(0.3, True), (0.29, False), (float("nan"), False)])
def test_the_threshold_counts(score, shown):
    detections = found([50, 50, 90, 90, score, 0])
    threshold = float(detections.scores[0]) if shown else 0.3
    assert has(draw_detections(grey(), detections, CLASSES, threshold), BLUE) == shown
    assert len(describe_detections(detections, CLASSES, threshold)) == shown


@pytest.mark.parametrize("threshold", [-0.1, 30, float("nan")])
def test_a_threshold_outside_0_to_1_is_refused(threshold):
    with pytest.raises(ConfigError, match=r"The score threshold is .*; expected a number in 0…1"):
        draw_detections(grey(), found(), CLASSES, threshold)


def test_the_ground_truth_is_thin_and_white():
    drawn = draw_detections(grey(), found(), CLASSES, ground_truth=np.array([[100, 100, 200, 200]]))
    assert (drawn == 255).all(axis=2).sum() in range(4 * 99, 4 * 102)
    assert [tuple(drawn[150, x]) == (255, 255, 255) for x in (98, 99, 100, 101)].count(True) == 1


def test_annotated_objects_have_the_colour_of_their_class_and_ignored_ones_are_grey():
    boxes = torch.tensor([[10.0, 40, 90, 90], [200, 200, 300, 300]])
    drawn = draw_ground_truth(grey(), boxes, torch.tensor([0, -1]), CLASSES)
    assert has(drawn[:150], BLUE) and has(drawn[150:], (150, 150, 150))


@pytest.mark.parametrize(
    ("size", "factor"), [((8, 8), 80), ((96, 128), 5), ((480, 640), 1), ((639, 10), 2), ((2000, 10), 1)]
)
def test_small_pictures_are_enlarged_by_a_whole_factor(size, factor):
    img = grey(*size)
    assert enlargement(img) == factor
    assert draw_detections(img, found(), CLASSES).shape == (size[0] * factor, size[1] * factor, 3)


def test_boxes_grow_with_an_enlarged_picture():
    drawn = draw_detections(grey(96, 128), found([20, 40, 60, 80, 0.9, 0]), CLASSES)
    assert tuple(drawn[300, 100]) == BLUE and tuple(drawn[399, 250]) == BLUE


edge = st.floats(-50, 250, width=32)


@settings(max_examples=40)
@given(
    box=st.tuples(edge, edge, edge, edge),
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    corners=st.booleans(),
)
def test_any_box_on_any_picture_can_be_drawn(box, height, width, corners):
    x1, y1, x2, y2 = (*sorted(box[:2]), *sorted(box[2:]))
    img = grey(height, width)
    name = "a name that is much too long for small pictures"
    drawn = draw_detections(img, found([x1, y1, x2, y2, 0.9, 0]), (name,), corners=corners)
    assert drawn.shape == (height * enlargement(img), width * enlargement(img), 3)


corner = st.integers(-30, 130)


@given(x=corner, y=corner, taken=st.lists(st.tuples(corner, corner), max_size=3))
def test_tags_stay_inside(x, y, taken):
    canvas = np.zeros((100, 100, 3), np.uint8)
    frame = Frame(np.array([x, y, x + 20, y + 20]), BLUE, 2, "cat")
    place = _best_place(canvas, frame, (40, 15), [(a, b, a + 40, b + 15) for a, b in taken])
    assert 0 <= place[0] and 0 <= place[1] and place[2] <= 100 and place[3] <= 100
    assert (place[2] - place[0], place[3] - place[1]) == (40, 15)


def test_a_tag_lies_above_its_box_and_makes_way():
    canvas = np.zeros((200, 200, 3), np.uint8)
    frame = Frame(np.array([50, 50, 120, 120]), BLUE, 2, "cat")
    first = _best_place(canvas, frame, (40, 15), [])
    assert first == (49, 34, 89, 49)
    second = _best_place(canvas, frame, (40, 15), [first])
    assert second == (49, 49, 89, 64)
    assert _overlap(first, second) == 0


def test_overlap_is_the_shared_area():
    assert _overlap((0, 0, 4, 4), (2, 1, 9, 3)) == 4
    assert _overlap((0, 0, 4, 4), (4, 0, 8, 4)) == 0


def test_twenty_one_classes_have_twenty_one_colours():
    assert len({class_color(label) for label in range(21)}) == 21
    assert class_color(21) == class_color(0)
    assert class_color(7) == (115, 177, 213)  # blue, 45 % of the way to white


def test_one_line_per_detection():
    lines = describe_detections(found([1, 2, 3, 4, 0.9, 0], [5, 6, 7, 8.25, 0.5, 7]), CLASSES)
    assert lines[0].split() == ["cat", "0.900", "1.0", "2.0", "3.0", "4.0"]
    assert lines[1].split() == ["class", "7", "0.500", "5.0", "6.0", "7.0", "8.2"]
    assert len(lines[0]) == len(lines[1])


@pytest.mark.parametrize("img", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_picture_is_refused(img):
    with pytest.raises(DataError, match=r"A picture is \(.*\) .*; expected \(H, W, 3\) uint8 RGB"):
        draw_detections(img, found(), CLASSES)
