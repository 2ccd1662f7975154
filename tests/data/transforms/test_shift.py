from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.data.transforms import RandomCropByCentre, RandomShift
from hatlite.errors import BuildError

SEEDS = st.integers(0, 2**32)
SIDES = st.integers(16, 60)


def shifting(top, left):
    """A generator that draws these shares of the height and the width."""
    shares = iter((top, left))
    return SimpleNamespace(random=lambda: 0.0, uniform=lambda low, high: next(shares))


def test_shift_by_hand(make_sample):
    sample = make_sample(10, 20, boxes=[(2, 1, 8, 5), (16, 4, 20, 9)], classes=[0, 1])
    out = RandomShift(0.2, fill=(1, 2, 3), prob=1)(sample, shifting(0.1, -0.15))  # 1 down, 3 to the left
    np.testing.assert_array_equal(out["img"][1:, :17], sample["img"][:9, 3:])
    assert (out["img"][0] == (1, 2, 3)).all()
    assert (out["img"][:, 17:] == (1, 2, 3)).all()
    np.testing.assert_array_equal(out["gt_bboxes"], [[0, 2, 5, 6], [13, 5, 17, 10]])  # the first is clipped
    np.testing.assert_array_equal(out["matrix"], [[1, 0, -3], [0, 1, 1], [0, 0, 1]])


def test_an_object_goes_with_its_centre_and_regions_to_ignore_stay(make_sample):
    sample = make_sample(10, 20, boxes=[(0, 0, 6, 4), (8, 2, 12, 6), (0, 4, 6, 8)], classes=[0, 1, -1])
    out = RandomShift(0.2, prob=1)(sample, shifting(0, -0.2))  # 4 to the left: the first centre is at −1
    np.testing.assert_array_equal(out["gt_classes"], [1, -1])
    np.testing.assert_array_equal(out["gt_bboxes"], [[4, 2, 8, 6], [0, 4, 2, 8]])


@pytest.mark.parametrize("transform", [RandomShift(0.9, prob=1), RandomCropByCentre((0.1, 0.3), prob=1)])
def test_a_picture_that_would_lose_all_objects_stays(make_sample, transform):
    corner, empty = make_sample(60, 60, boxes=[(0, 0, 2, 2)]), make_sample(60, 60, boxes=())
    outs = [transform(corner, np.random.default_rng(seed)) for seed in range(20)]
    assert all(len(out["gt_bboxes"]) for out in outs)
    assert any(out is corner for out in outs)
    assert not any(transform(empty, np.random.default_rng(seed)) is empty for seed in range(20))


@given(SIDES, SIDES, SEEDS, st.sampled_from([RandomShift(fill=0, prob=1), RandomCropByCentre(prob=1)]))
@settings(max_examples=60)
def test_boxes_stay_on_their_pixels_and_inside(make_sample, bright_box, height, width, seed, transform):
    sample = make_sample(height, width, boxes=[(1, 2, width // 2, height - 3)])
    out = transform(sample, np.random.default_rng(seed))
    assert len(out["gt_bboxes"]) == 1
    np.testing.assert_array_equal(bright_box(out["img"]), out["gt_bboxes"][0])


def test_a_crop_has_the_sides_that_were_asked_for(make_sample):
    sample = make_sample(100, 200, boxes=())
    sizes = [
        RandomCropByCentre((0.6, 1.0), prob=1)(sample, np.random.default_rng(seed))["img"].shape for seed in range(200)
    ]
    heights, widths = np.array(sizes)[:, :2].T
    assert 60 <= heights.min() < 63 < 97 < heights.max() <= 100
    assert 120 <= widths.min() < 126 < 194 < widths.max() <= 200
    assert abs(np.corrcoef(heights, widths)[0, 1]) < 0.3  # drawn on their own


@pytest.mark.parametrize("transform", [RandomShift(prob=0.25), RandomCropByCentre(prob=0.25)])
def test_both_happen_as_often_as_asked_for(make_sample, transform):
    sample = make_sample(boxes=())
    assert 70 < sum(transform(sample, np.random.default_rng(i)) is not sample for i in range(400)) < 130


def test_input_arrays_stay_as_they_are(make_sample, rng):
    sample, same = make_sample(), make_sample()
    for transform in (RandomShift(prob=1), RandomCropByCentre(prob=1)):
        transform(sample, rng)
    for key in ("img", "gt_bboxes", "gt_classes", "matrix"):
        np.testing.assert_array_equal(sample[key], same[key])


def test_settings_are_checked():
    with pytest.raises(BuildError, match=r"RandomShift: ratio is 20; expected a number in 0…1"):
        RandomShift(20)
    with pytest.raises(BuildError, match=r"RandomShift: fill is \(1, 2\); expected a number in 0…255 or three"):
        RandomShift(fill=(1, 2))
    with pytest.raises(BuildError, match=r"RandomCropByCentre: ratio_range is \(1.0, 0.6\); expected \(low, high\)"):
        RandomCropByCentre((1.0, 0.6))
