"""GridDecoder: boxes by hand, thresholds, suppression across classes, and the way back to the image."""

import pytest
import torch

from hatlite.errors import BuildError
from hatlite.models.postprocess.grid_decoder import GridDecoder

SIZE = 64  # a cell of the 4 × 4 has 16 pixels
BATCH = {"img": torch.empty(1, 3, SIZE, SIZE)}


def output_of(cells, classes=3):
    """Return (1, 10 + C, 4, 4) that is 0 but where `cells` has (row, column) → slot A, slot B, class scores."""
    output = torch.zeros(1, 10 + classes, 4, 4)
    for (row, column), (first, second, scores) in cells.items():
        output[0, :, row, column] = torch.tensor([*first, *second, *scores])
    return {"predictions_s16": output}


def found_in(cells, batch=BATCH, **options):
    decoder = GridDecoder(3, [16], **{"rescale": False, **options})
    (found,) = decoder(output_of(cells), batch)
    return [
        (tuple(box), round(score, 4), label)
        for box, score, label in zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
    ]


NOTHING = [0.0] * 5
BOX = [0.5, 0.25, 0.25, 0.5]  # of cell (1, 2): centre (40, 20), 16 wide and 32 high
PLACE = (32.0, 4.0, 48.0, 36.0)


def test_a_confident_slot_becomes_the_object_of_its_likeliest_class():
    for slots in (([*BOX, 0.9], NOTHING), (NOTHING, [*BOX, 0.9])):
        assert found_in({(1, 2): (*slots, [0.2, 0.8, 0.1])}) == [(PLACE, 0.72, 1)]


def test_nothing_is_found_where_nothing_is_sure():
    assert found_in({}) == []
    assert found_in({}, conf_thresh=0.0, prob_thresh=0.0) == []
    assert found_in({(1, 2): ([*BOX, 0.48], NOTHING, [0.0, 1.0, 0.0])}) == []
    assert found_in({(1, 2): ([*BOX, 0.5], NOTHING, [0.0, 0.8, 0.0])}) == []
    assert found_in({(1, 2): ([*BOX, 0.5], NOTHING, [0.0, 0.8, 0.0])}, prob_thresh=0.39) == [(PLACE, 0.4, 1)]
    assert found_in({(1, 2): ([*BOX, 0.9], NOTHING, [0.0, 0.8, 0.0])}, conf_thresh=0.95) == []


def test_a_slot_may_be_an_object_of_several_classes():
    cells = {(1, 2): ([*BOX, 1.0], NOTHING, [0.5, 0.75, 0.1])}
    options = {"multi_label": True, "class_agnostic": False}
    assert found_in(cells, **options) == [(PLACE, 0.75, 1), (PLACE, 0.5, 0)]
    assert found_in(cells, multi_label=True) == [(PLACE, 0.75, 1)]


def test_duplicates_fall_of_whatever_class_or_of_their_own():
    left = [1.0, 0.25, 0.25, 0.5, 0.9]  # of cell (1, 1): centre (32, 20); a third is shared with the box beside it
    cells = {(1, 2): ([*BOX, 1.0], NOTHING, [0.0, 1.0, 0.0]), (1, 1): (left, NOTHING, [1.0, 0.0, 0.0])}
    assert [label for _, _, label in found_in(cells, nms_thresh=0.3)] == [1]
    assert [label for _, _, label in found_in(cells, nms_thresh=0.34)] == [1, 0]
    assert [label for _, _, label in found_in(cells, nms_thresh=0.3, class_agnostic=False)] == [1, 0]


def test_scores_end_at_one_and_keep_their_order():
    best, good = [0.5, 0.5, 0.1, 0.1, 1.5], [0.5, 0.5, 0.1, 0.1, 1.2]
    found = found_in({(0, 0): (good, NOTHING, [1.0, 0, 0]), (3, 3): (best, NOTHING, [0, 1.0, 0])}, max_per_img=1)
    assert [(score, label) for _, score, label in found] == [(1.0, 1)]


def test_boxes_go_back_to_the_original_image():
    halved = torch.diag(torch.tensor([0.5, 0.25, 1.0], dtype=torch.float64))
    batch = {**BATCH, "matrix": [halved], "orig_size": [(120, 90)]}
    cells = {(1, 2): ([*BOX, 1.0], NOTHING, [0.0, 1.0, 0.0])}
    assert found_in(cells, batch, rescale=True) == [((64.0, 16.0, 90.0, 120.0), 1.0, 1)]


def test_a_box_without_area_is_none():
    assert found_in({(1, 2): ([0.5, 0.5, 0.0, 0.5, 1.0], NOTHING, [1.0, 0, 0])}) == []


@pytest.mark.parametrize("key", ["conf_thresh", "prob_thresh", "nms_thresh"])
def test_thresholds_are_shares(key):
    with pytest.raises(BuildError, match=f"GridDecoder: {key} is 1.5; expected 0…1"):
        GridDecoder(**{key: 1.5})


def test_other_refusals():
    with pytest.raises(BuildError, match="GridDecoder: max_per_img is 0; expected 1 or more"):
        GridDecoder(max_per_img=0)
    with pytest.raises(BuildError, match="post_process.num_classes is 2, but head.num_classes is 3"):
        GridDecoder(2).bind(3, (16,))
