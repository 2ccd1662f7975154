"""GridTarget: cells by hand, what holds for all boxes, and the way back through the decoder."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hatlite.errors import BuildError
from hatlite.models.assigners.grid_target import GridTarget
from hatlite.models.postprocess.grid_decoder import GridDecoder

SIZE = 56  # a cell has 4 pixels


def targets_of(boxes, classes, size=(SIZE, SIZE), **options):
    assigner = GridTarget(num_classes=3, **options)
    tensors = [torch.tensor(image, dtype=torch.float32).reshape(-1, 4) for image in boxes]
    return assigner(tensors, [torch.tensor(image, dtype=torch.int64) for image in classes], size)


def test_the_cell_of_the_centre_learns_the_object():
    targets = targets_of([[[4.0, 8, 14, 12]], []], [[2], []])
    assert targets.positive.nonzero().tolist() == [[0, 2, 2]]  # centre (9, 10)
    assert targets.offsets[0, 2, 2].tolist() == [0.25, 0.5]
    assert targets.sizes[0, 2, 2].tolist() == pytest.approx([10 / 56, 4 / 56])
    assert targets.classes[0, 2, 2].tolist() == [0, 0, 1]
    assert torch.equal(targets.empty, ~targets.positive)
    assert targets.offsets[~targets.positive].abs().sum() == targets.classes[~targets.positive].sum() == 0


def test_a_centre_on_a_border_belongs_to_the_upper_left_cell():
    targets = targets_of([[[0.0, 0, 16, 8]], [[0.0, 0, 0, 0]]], [[0], [1]])
    assert targets.positive.nonzero().tolist() == [[0, 0, 1], [1, 0, 0]]
    assert targets.offsets[0, 0, 1].tolist() == [1, 1]


TWO = [[20.0, 20, 26, 26], [18.0, 18, 30, 30], [20.0, 22, 26, 26]]  # all in cell (5, 5), centres 23, 24 and (23, 24)


@pytest.mark.parametrize(("several", "label"), [("largest", 1), ("nearest", 0), ("last", 2)])
def test_which_of_several_objects_stays(several, label):
    for order in ([0, 1, 2], [1, 0, 2]):
        targets = targets_of([[TWO[i] for i in order]], [order], several=several)
        assert targets.positive.sum() == 1
        assert targets.classes[0, 5, 5].tolist() == [float(label == kind) for kind in range(3)]


def test_of_equal_objects_the_first_stays():
    targets = targets_of([[TWO[0], TWO[0]]], [[2, 1]])
    assert targets.classes[0, 5, 5].tolist() == [0, 0, 1]


def test_a_cell_may_learn_the_classes_of_all_its_objects():
    targets = targets_of([TWO[:2]], [[0, 1]], multi_hot=True)
    assert targets.classes[0, 5, 5].tolist() == [1, 1, 0]
    assert targets.sizes[0, 5, 5].tolist() == pytest.approx([12 / 56, 12 / 56])


def test_regions_to_ignore_are_neither_empty_nor_positive():
    targets = targets_of([[[0.0, 0, 6, 4], [40.0, 40, 48, 48]]], [[-1, 1]])
    neither = ~targets.positive & ~targets.empty
    assert neither.nonzero().tolist() == [[0, 0, 0]]  # the centre of the next cell is its border
    assert targets.positive.nonzero().tolist() == [[0, 10, 10]]
    inside = targets_of([[[0.0, 0, 56, 56], [40.0, 40, 48, 48]]], [[-1, 1]])
    assert not inside.empty.any()
    assert inside.positive.sum() == 1


coordinate = st.integers(0, 4 * SIZE).map(lambda quarter: quarter / 4)


@given(x=st.tuples(coordinate, coordinate), y=st.tuples(coordinate, coordinate))
def test_the_nearest_centre_of_a_cell_learns(x, y):
    """The published rule: least sum of distances in x and y, of equals the first cell."""
    targets = targets_of([[[min(x), min(y), max(x), max(y)]]], [[0]])
    centre = torch.tensor([sum(x) / 8, sum(y) / 8], dtype=torch.float64)
    middle = torch.arange(14, dtype=torch.float64) + 0.5
    distance = (middle[:, None] - centre[1]).abs() + (middle[None, :] - centre[0]).abs()
    assert targets.positive.flatten().nonzero().tolist() == [[int(distance.flatten().argmin())]]
    row, column = targets.positive[0].nonzero()[0].tolist()
    offset = targets.offsets[0, row, column]
    assert ((offset >= 0) & (offset <= 1)).all()


box = st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(1, 6), st.integers(1, 6)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(
    boxes=st.lists(box, min_size=0, max_size=6, unique_by=lambda b: ((b[0] + b[2] - 1) // 8, (b[1] + b[3] - 1) // 8))
)
def test_decoding_gives_back_what_was_encoded(boxes):
    """One object to a cell: boxes and classes come back through a network that says exactly its targets."""
    classes = [index % 3 for index in range(len(boxes))]
    targets = targets_of([boxes], [classes])
    assert targets.positive.sum() == len(boxes)
    sure = targets.positive[..., None].float()
    said = torch.cat([targets.offsets, targets.sizes, sure, torch.zeros(1, 14, 14, 5), targets.classes], dim=-1)
    decoder = GridDecoder(3, [4], nms_thresh=1.0, rescale=False)
    (found,) = decoder({"predictions_s4": said.permute(0, 3, 1, 2)}, {"img": torch.empty(1, 3, SIZE, SIZE)})
    got = sorted(zip(found.boxes.tolist(), found.labels.tolist(), strict=True))
    wanted = sorted(zip(map(list, boxes), classes, strict=True))
    assert [label for _, label in got] == [label for _, label in wanted]
    for (given_box, _), (expected, _) in zip(got, wanted, strict=True):
        assert given_box == pytest.approx(expected, abs=1e-4)


def test_refusals():
    with pytest.raises(BuildError, match="GridTarget: grid_size is 0; expected 1 cell or more, 14 for GNet"):
        GridTarget(0)
    with pytest.raises(BuildError, match="several is 'biggest'; expected one of largest, nearest, last"):
        GridTarget(several="biggest")
    with pytest.raises(BuildError, match="targets.num_classes is 4, but head.num_classes is 3"):
        GridTarget(num_classes=4).bind(3)
