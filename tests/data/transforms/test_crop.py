import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.data.transforms import FixedCrop, Pad, RandomCrop, RandomFlip, Resize
from hatlite.errors import BuildError, DataError


def test_crop_by_hand(make_sample, rng):
    crop = RandomCrop(size=(24, 32), center_crop_prob=1)  # rows 12…36, columns 16…48
    out = crop(make_sample(48, 64, boxes=[(8, 12, 40, 36), (40, 30, 60, 44), (0, 0, 10, 10)], classes=[3, -1, 5]), rng)
    assert out["img"].shape == (24, 32, 3)
    np.testing.assert_array_equal(out["gt_bboxes"], [[0, 0, 24, 24], [24, 18, 32, 24]])
    np.testing.assert_array_equal(out["gt_classes"], [3, -1])
    np.testing.assert_array_equal(out["matrix"], [[1, 0, -16], [0, 1, -12], [0, 0, 1]])


@pytest.mark.parametrize(("min_area", "min_iou", "kept"), [(64, 0.25, 1), (65, 0, 0), (0, 0.26, 0), (0, 0, 1)])
def test_a_box_stays_by_area_and_share(make_sample, rng, min_area, min_iou, kept):
    crop = RandomCrop((24, 32), center_crop_prob=1, min_area=min_area, min_iou=min_iou)
    out = crop(make_sample(48, 64, boxes=[(8, 4, 24, 20)]), rng)  # 16 × 16, of which 8 × 8 are seen
    assert len(out["gt_bboxes"]) == len(out["gt_classes"]) == kept


def test_a_box_that_is_not_seen_goes_even_without_limits(make_sample, rng):
    out = RandomCrop((24, 32), center_crop_prob=1, min_area=0, min_iou=0)(
        make_sample(48, 64, boxes=[(0, 0, 16, 12)]), rng
    )
    assert out["gt_bboxes"].shape == (0, 4)


def test_a_smaller_side_is_left_whole(make_sample, rng):
    out = RandomCrop((100, 20))(make_sample(48, 64), rng)
    assert out["img"].shape == (48, 20, 3)
    assert out["matrix"][1, 2] == 0


def test_every_place_is_reached(make_sample):
    crop, sample = RandomCrop((46, 63)), make_sample(48, 64)
    places = {tuple(crop(sample, np.random.default_rng(i))["matrix"][:2, 2]) for i in range(100)}
    assert places == {(-x, -y) for x in range(2) for y in range(3)}


@given(st.integers(10, 60), st.integers(10, 60), st.integers(5, 40), st.integers(5, 40), st.integers(0, 2**32))
@settings(max_examples=60)
def test_crop_keeps_boxes_on_their_pixels_exactly(make_sample, bright_box, height, width, crop_h, crop_w, seed):
    sample = make_sample(height, width, boxes=[(width // 3, height // 3, width - 2, height - 1)])
    out = RandomCrop((crop_h, crop_w), min_area=0, min_iou=0)(sample, np.random.default_rng(seed))
    assert out["img"].shape == (min(height, crop_h), min(width, crop_w), 3)
    if len(out["gt_bboxes"]):
        np.testing.assert_array_equal(bright_box(out["img"]), out["gt_bboxes"][0])
    else:
        assert not out["img"].any()


CHAIN = [
    Resize((40, 50), ratio_range=(0.6, 1.8)),
    RandomCrop((40, 50)),
    Pad(size=(40, 50), value=0),
    RandomFlip(0.5, 0.5),
]


@given(st.integers(20, 120), st.integers(20, 120), st.integers(0, 2**32))
@settings(max_examples=60)
def test_a_chain_keeps_boxes_on_their_pixels_and_can_be_undone(make_sample, bright_box, height, width, seed):
    box = np.array([width // 4, height // 4, width // 4 + width // 2, height // 4 + height // 2], np.float64)
    out, rng = make_sample(height, width, boxes=[box]), np.random.default_rng(seed)
    for transform in CHAIN:
        out = transform(out, rng)
    if not len(out["gt_bboxes"]) or min(out["gt_bboxes"][0, 2:] - out["gt_bboxes"][0, :2]) < 2:
        return
    np.testing.assert_allclose(bright_box(out["img"]), out["gt_bboxes"][0], atol=1)  # a clipped edge may cut a pixel
    inverse = np.linalg.inv(out["matrix"])
    back, window = (undo(inverse, corners) for corners in (out["gt_bboxes"][0], [0, 0, 50, 40]))
    seen = np.clip(box, np.tile(window[:2], 2), np.tile(window[2:], 2))  # what the crop left of the box
    np.testing.assert_allclose(back, seen, atol=1e-3)


def undo(inverse, box):
    corners = np.asarray(box, np.float64).reshape(2, 2) @ inverse[:2, :2].T + inverse[:2, 2]
    return np.concatenate([corners.min(0), corners.max(0)])


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"size": (0, 4)}, r"RandomCrop: size is \(0, 4\)"),
        ({"size": (4, 4), "min_area": -1}, "min_area is -1; expected an area"),
        ({"size": (4, 4), "min_iou": 2}, "min_iou is 2; expected a number in 0…1"),
        ({"size": (4, 4), "center_crop_prob": -1}, "center_crop_prob is -1"),
    ],
)
def test_crop_refuses(kwargs, text):
    with pytest.raises(BuildError, match=text):
        RandomCrop(**kwargs)


def test_fixed_crop_by_hand(make_sample, rng):
    sample = make_sample(48, 64, boxes=[(8, 12, 40, 36), (0, 0, 10, 10), (20, 14, 30, 20)], classes=[3, 1, -1])
    out = FixedCrop((24, 32), top_left=(12, 16))(sample, rng)
    np.testing.assert_array_equal(out["img"], sample["img"][12:36, 16:48])
    np.testing.assert_array_equal(out["gt_bboxes"], [[0, 0, 24, 24], [4, 2, 14, 8]])
    np.testing.assert_array_equal(out["gt_classes"], [3, -1])
    np.testing.assert_array_equal(out["matrix"], [[1, 0, -16], [0, 1, -12], [0, 0, 1]])


def test_fixed_crop_ends_where_the_picture_does(make_sample, rng):
    assert FixedCrop((24, 32), (40, 60))(make_sample(48, 64), rng)["img"].shape == (8, 4, 3)
    with pytest.raises(
        DataError, match=r"image seven.jpg is 48×64 .* ends before the window, whose corner is \(48, 0\)"
    ):
        FixedCrop((24, 32), (48, 0))(make_sample(48, 64), rng)


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"size": (1, 2, 3, 4)}, r"FixedCrop: size is \(1, 2, 3, 4\); expected \(height, width\)"),
        ({"size": (4, 4), "top_left": (0, -1)}, r"FixedCrop: top_left is \(0, -1\); expected \(top, left\)"),
        ({"size": (4, 4), "min_iou": 2}, "FixedCrop: min_iou is 2"),
    ],
)
def test_fixed_crop_refuses(kwargs, text):
    with pytest.raises(BuildError, match=text):
        FixedCrop(**kwargs)
