import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.data.transforms import MinIoURandomCrop, RandomExpand
from hatlite.errors import BuildError
from hatlite.registry import OBJECT_REGISTRY

SEEDS = st.integers(0, 2**32)


def iou(box, window):
    sides = np.minimum(box[2:], window[2:]) - np.maximum(box[:2], window[:2])
    shared = sides.clip(0).prod()
    return shared / ((box[2:] - box[:2]).prod() + (window[2:] - window[:2]).prod() - shared)


def window_of(out):
    """Edges, in the picture before, of what a crop has left of it."""
    left, top = -out["matrix"][:2, 2]
    height, width = out["img"].shape[:2]
    return np.array([left, top, left + width, top + height])


def test_expand_by_hand(make_sample, rng):
    sample = make_sample(10, 20, boxes=[(2, 3, 12, 9)], classes=[-1])
    out = RandomExpand(mean=(1, 2, 3), ratio_range=(2, 2), prob=1)(sample, rng)
    left, top = out["matrix"][:2, 2].astype(int)
    assert out["img"].shape == (20, 40, 3)
    np.testing.assert_array_equal(out["img"][top : top + 10, left : left + 20], sample["img"])
    out["img"][top : top + 10, left : left + 20] = (1, 2, 3)
    assert (out["img"] == (1, 2, 3)).all()
    np.testing.assert_array_equal(out["gt_bboxes"], [[2 + left, 3 + top, 12 + left, 9 + top]])
    assert out["gt_classes"].tolist() == [-1]


@given(st.integers(5, 60), st.integers(5, 60), SEEDS)
@settings(max_examples=40)
def test_expand_keeps_boxes_on_their_pixels(make_sample, bright_box, height, width, seed):
    sample = make_sample(height, width, boxes=[(1, 2, width - 1, height - 1)])
    out = RandomExpand(mean=0, prob=1)(sample, np.random.default_rng(seed))
    assert height <= out["img"].shape[0] <= 4 * height
    np.testing.assert_array_equal(bright_box(out["img"]), out["gt_bboxes"][0])
    np.testing.assert_array_equal(out["matrix"][:2, :2], np.eye(2))


def test_expand_happens_as_often_as_asked_for(make_sample):
    sample = make_sample()
    grown = [RandomExpand(prob=0.25)(sample, np.random.default_rng(i)) is not sample for i in range(400)]
    assert 70 < sum(grown) < 130
    assert OBJECT_REGISTRY.build({"type": "Expand", "prob": 0.0})(sample, np.random.default_rng(0)) is sample


@given(st.integers(20, 60), st.integers(20, 60), SEEDS)
@settings(max_examples=60)
def test_a_window_has_its_overlap_and_keeps_what_is_centred_in_it(make_sample, height, width, seed):
    boxes = np.array([(2, 3, width - 4, height - 2), (width // 3, height // 3, width // 2, height // 2)], np.float32)
    sample = make_sample(height, width, boxes=boxes)
    out = MinIoURandomCrop(min_ious=[0.05])(sample, np.random.default_rng(seed))
    window = window_of(out)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((centres > window[:2]) & (centres < window[2:])).all(axis=1)
    assert inside.any()
    assert out["gt_classes"].tolist() == np.flatnonzero(inside).tolist()
    clipped = boxes[inside].clip(np.tile(window[:2], 2), np.tile(window[2:], 2)) - np.tile(window[:2], 2)
    np.testing.assert_array_equal(out["gt_bboxes"], clipped.astype(np.float32))
    rows, columns = out["img"].shape[:2]
    assert out is sample or (0.5 <= rows / columns <= 2 and rows >= int(0.3 * height) and columns >= int(0.3 * width))


@given(SEEDS)
@settings(max_examples=40)
def test_the_limit_holds_for_every_object(make_sample, seed):
    sample = make_sample(40, 40, boxes=[(5, 5, 30, 30), (8, 8, 36, 36)])
    crop = MinIoURandomCrop(min_ious=[0.5])
    crop.limits = (0.5,)
    window = window_of(crop(sample, np.random.default_rng(seed)))
    assert min(iou(box, window) for box in sample["gt_bboxes"]) >= 0.5


def test_regions_to_ignore_have_no_say_and_stay_as_far_as_they_are_seen(make_sample):
    sample = make_sample(40, 40, boxes=[(10, 10, 30, 30), (0, 0, 40, 4), (0, 36, 40, 40)], classes=[5, -1, -1])
    crop = MinIoURandomCrop(min_ious=[0.6])
    crop.limits = (0.6,)
    kept = []
    for seed in range(40):
        out = crop(sample, np.random.default_rng(seed))
        _, top, _, bottom = window_of(out)
        assert out["gt_classes"].tolist() == [5, *[-1] * (int(top < 4) + int(bottom > 36))]
        kept.append(len(out["gt_classes"]))
    assert {1, 2} <= set(kept)


def test_a_picture_without_objects_is_cut_anywhere(make_sample):
    crop, sample = MinIoURandomCrop(), make_sample(40, 40, boxes=[(0, 0, 40, 40)], classes=[-1])
    outs = [crop(sample, np.random.default_rng(seed)) for seed in range(30)]
    assert any(out is sample for out in outs)  # the limit that leaves the picture whole
    assert len({out["img"].shape for out in outs}) > 10
    assert all(out["gt_bboxes"].tolist() == [[0, 0, *out["img"].shape[1::-1]]] for out in outs)


def test_where_no_window_fits_the_picture_stays_whole(make_sample):
    sample = make_sample(40, 40, boxes=[(0, 0, 2, 2), (38, 38, 40, 40)])
    crop = MinIoURandomCrop(min_ious=[0.9])
    crop.limits = (0.9,)
    assert crop(sample, np.random.default_rng(0)) is sample


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: RandomExpand(mean=256), "RandomExpand: mean is 256; expected a number in 0…255 or three"),
        (
            lambda: RandomExpand(ratio_range=(0.5, 2)),
            r"RandomExpand: ratio_range is \(0.5, 2\); expected \(low, high\)",
        ),
        (lambda: RandomExpand(prob=2), "RandomExpand: prob is 2; expected a number in 0…1"),
        (lambda: MinIoURandomCrop(min_ious=[1.5]), "MinIoURandomCrop: min_ious is 1.5; expected a number in 0…1"),
        (lambda: MinIoURandomCrop(min_crop_size=0), "MinIoURandomCrop: min_crop_size is 0; expected a number above 0"),
    ],
)
def test_bad_arguments_are_refused(build, text):
    with pytest.raises(BuildError, match=text):
        build()
