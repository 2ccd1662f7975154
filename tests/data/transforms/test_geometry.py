import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.data.transforms import Pad, RandomFlip, RandomScale, Resize
from hatlite.errors import BuildError, DataError
from hatlite.registry import OBJECT_REGISTRY

HALF_PIXEL = 0.5 + 1e-3  # a pixel is bright when its centre lies in the box


def test_resize_by_hand(make_sample, rng):
    out = Resize(img_scale=(96, 96))(make_sample(48, 64), rng)
    assert out["img"].shape == (72, 96, 3)  # 64 → 96 is the tighter side: 1.5
    np.testing.assert_array_equal(out["gt_bboxes"], [[12, 18, 60, 54]])
    np.testing.assert_array_equal(out["matrix"], np.diag([1.5, 1.5, 1]))


def test_resize_scale_is_height_then_width(make_sample, rng):
    out = Resize(img_scale=(24, 128), keep_ratio=False)(make_sample(48, 64), rng)
    assert out["img"].shape == (24, 128, 3)
    np.testing.assert_array_equal(out["gt_bboxes"], [[16, 6, 80, 18]])


def test_resize_uses_the_rounded_size(make_sample, rng):
    out = Resize(img_scale=(10, 10))(make_sample(7, 30, boxes=[(0, 0, 30, 7)]), rng)
    assert out["img"].shape == (2, 10, 3)  # 7 / 3 rounds to 2, and so do the boxes
    np.testing.assert_array_equal(out["gt_bboxes"], [[0, 0, 10, 2]])


def test_resize_draws_the_ratio_uniformly(make_sample):
    resize = Resize(img_scale=(48, 64), ratio_range=(0.5, 2.0))
    heights = [resize(make_sample(48, 64), np.random.default_rng(i))["img"].shape[0] for i in range(200)]
    assert min(heights) >= 24
    assert max(heights) <= 96
    assert abs(np.mean(heights) - 60) < 4  # the middle of 24…96; one standard error is 1.5


def test_resize_averages_areas_when_it_shrinks_much(make_sample, rng):
    sample = make_sample(40, 40, boxes=())
    sample["img"][:, ::4] = 200  # one column of four
    out = Resize(img_scale=(10, 10))(sample, rng)
    np.testing.assert_array_equal(out["img"], np.full((10, 10, 3), 50))


def test_scale_changes_the_width_alone(make_sample):
    sample = make_sample(48, 64)
    outs = [RandomScale(prob=1)(sample, np.random.default_rng(seed)) for seed in range(200)]
    widths = [out["img"].shape[1] for out in outs]
    assert {out["img"].shape[0] for out in outs} == {48}
    assert 51 <= min(widths) < 54 < 74 < max(widths) <= 77
    assert abs(np.mean(widths) - 64) < 2  # one standard error is 0.5
    factor = widths[0] / 64
    np.testing.assert_allclose(outs[0]["gt_bboxes"], [[8 * factor, 12, 40 * factor, 36]], rtol=1e-6)
    np.testing.assert_array_equal(outs[0]["matrix"], np.diag([factor, 1, 1]))


def test_scale_by_hand_and_by_chance(make_sample):
    sample = make_sample(48, 64)
    out = RandomScale(width=(1, 1), height=(0.5, 0.5), prob=1)(sample, np.random.default_rng(0))
    assert out["img"].shape == (24, 64, 3)
    np.testing.assert_array_equal(out["gt_bboxes"], [[8, 6, 40, 18]])
    kept = [RandomScale(prob=0.25)(sample, np.random.default_rng(seed)) is sample for seed in range(400)]
    assert 270 < sum(kept) < 330


def test_pad_by_hand(make_sample, rng):
    sample = make_sample(48, 64)
    out = Pad(divisor=50)(sample, rng)
    assert out["img"].shape == (50, 100, 3)
    np.testing.assert_array_equal(out["img"][:48, :64], sample["img"])
    assert (out["img"][48:] == 114).all()
    assert (out["img"][:, 64:] == 114).all()
    np.testing.assert_array_equal(out["gt_bboxes"], sample["gt_bboxes"])
    np.testing.assert_array_equal(out["matrix"], np.eye(3))


def test_pad_to_size_with_a_colour(make_sample, rng):
    out = Pad(size=(48, 70), value=(1, 2, 3))(make_sample(48, 64), rng)
    assert out["img"].shape == (48, 70, 3)
    np.testing.assert_array_equal(out["img"][0, 64], [1, 2, 3])


def test_pad_leaves_a_fitting_picture_alone(make_sample, rng):
    sample = make_sample(48, 64)
    assert Pad(divisor=16)(sample, rng) is sample


@pytest.mark.parametrize(
    ("px", "py", "box"), [(1, 0, [24, 12, 56, 36]), (0, 1, [8, 12, 40, 36]), (1, 1, [24, 12, 56, 36]), (0, 0, None)]
)
def test_flip_by_hand(make_sample, rng, px, py, box):
    sample = make_sample(48, 64)
    sample["img"][0, 0] = 9
    out = RandomFlip(px=px, py=py)(sample, rng)
    np.testing.assert_array_equal(out["gt_bboxes"], [box] if box else sample["gt_bboxes"])
    assert out["img"][-py, -px, 0] == 9
    corner = out["matrix"] @ [0, 0, 1]
    np.testing.assert_array_equal(corner, [64 * px, 48 * py, 1])


def test_flip_is_a_fair_coin(make_sample):
    flip, sample = RandomFlip(px=0.5), make_sample()
    flipped = sum(flip(sample, np.random.default_rng(i))["matrix"][0, 0] < 0 for i in range(400))
    assert 160 < flipped < 240  # 200 ± 4 standard deviations of 10


sides = st.integers(12, 90)


@given(sides, sides, sides, sides, st.booleans(), st.integers(0, 2**32))
@settings(max_examples=60)
def test_resize_keeps_boxes_on_their_pixels(make_sample, bright_box, height, width, new_h, new_w, keep, seed):
    box = np.array([width // 4, height // 4, width // 4 + width // 2, height // 4 + height // 2])
    resize = Resize((new_h, new_w), ratio_range=(0.8, 1.5), keep_ratio=keep)
    out = resize(make_sample(height, width, boxes=[box]), np.random.default_rng(seed))
    if min(out["img"].shape[:2]) < 8:
        return  # too small for a bright pixel to be sure
    np.testing.assert_allclose(bright_box(out["img"]), out["gt_bboxes"][0], atol=HALF_PIXEL)


@given(sides, sides, st.integers(0, 2**32), st.sampled_from([0, 0.5, 1]), st.sampled_from([0, 0.5, 1]))
@settings(max_examples=40)
def test_flip_keeps_boxes_on_their_pixels_exactly(make_sample, bright_box, height, width, seed, px, py):
    sample = make_sample(height, width, boxes=[(1, 2, width // 2, height - 3)])
    out = RandomFlip(px, py)(sample, np.random.default_rng(seed))
    np.testing.assert_array_equal(bright_box(out["img"]), out["gt_bboxes"][0])


@given(sides, sides, st.integers(1, 40))
@settings(max_examples=30)
def test_pad_keeps_boxes_on_their_pixels_exactly(make_sample, bright_box, height, width, divisor):
    out = Pad(divisor=divisor, value=0)(
        make_sample(height, width, boxes=[(2, 1, width, height)]), np.random.default_rng(0)
    )
    assert all(new % divisor == 0 and 0 <= new - old < divisor for new, old in zip(out["img"].shape, (height, width)))
    np.testing.assert_array_equal(bright_box(out["img"]), out["gt_bboxes"][0])


def test_regions_to_ignore_and_empty_pictures_travel_along(make_sample, rng):
    for transform in (Resize((20, 20)), RandomFlip(1, 1), Pad(divisor=7)):
        assert transform(make_sample(classes=[-1]), rng)["gt_classes"].tolist() == [-1]
        assert transform(make_sample(boxes=()), rng)["gt_bboxes"].shape == (0, 4)


def test_input_arrays_stay_as_they_are(make_sample, rng):
    sample, same = make_sample(), make_sample()
    for transform in (Resize((20, 20)), RandomFlip(1, 1), Pad(divisor=7)):
        transform(sample, rng)
    for key in ("img", "gt_bboxes", "gt_classes", "matrix"):
        np.testing.assert_array_equal(sample[key], same[key])


def test_the_dicts_of_the_tutorial_are_accepted():
    transforms = [
        {"type": "Resize", "img_scale": (512, 512), "ratio_range": (0.5, 2.0), "keep_ratio": True},
        {"type": "RandomCrop", "size": (512, 512)},
        {"type": "Pad", "divisor": 512},
        {"type": "RandomFlip", "px": 0.5, "py": 0},
        {"type": "AugmentHSV", "hgain": 0.015, "sgain": 0.7, "vgain": 0.4},
        {"type": "ToTensor", "to_yuv": True, "use_yuv_v2": False},
        {"type": "Normalize", "mean": 128.0, "std": 128.0},
    ]
    assert [type(built).__name__ for built in OBJECT_REGISTRY.build(transforms)] == [t["type"] for t in transforms]


@pytest.mark.parametrize("scale", [512, (512,), (0, 5), (5.5, 5), "ab", None])
def test_resize_refuses_a_scale(scale):
    with pytest.raises(BuildError, match=r"Resize: img_scale is .* expected \(height, width\), two whole numbers"):
        Resize(scale)


@pytest.mark.parametrize("ratio", [(2.0, 0.5), (0, 1), (1,)])
def test_resize_refuses_a_ratio_range(ratio):
    with pytest.raises(BuildError, match=r"ratio_range is .* expected \(low, high\)"):
        Resize((8, 8), ratio_range=ratio)


def test_scale_refuses_a_range():
    with pytest.raises(BuildError, match=r"RandomScale: width is \(1.2, 0.8\); expected \(low, high\)"):
        RandomScale((1.2, 0.8))


@pytest.mark.parametrize("kwargs", [{}, {"divisor": 2, "size": (2, 2)}])
def test_pad_wants_one_of_divisor_and_size(kwargs):
    with pytest.raises(BuildError, match="give exactly one of them"):
        Pad(**kwargs)


@pytest.mark.parametrize("divisor", [0, 2.5])
def test_pad_refuses_a_divisor(divisor):
    with pytest.raises(BuildError, match=r"divisor is .* whole number above 0"):
        Pad(divisor=divisor)


@pytest.mark.parametrize("value", [300, -1, (1, 2)])
def test_pad_refuses_a_fill(value):
    with pytest.raises(BuildError, match=r"Pad: value is .* 0…255 or three of them"):
        Pad(divisor=2, value=value)


def test_pad_names_a_picture_that_is_too_large(make_sample, rng):
    with pytest.raises(DataError, match=r"image seven.jpg is 48×64 .* larger than size 40×80; put Resize"):
        Pad(size=(40, 80))(make_sample(48, 64), rng)


def test_flip_refuses_a_probability():
    with pytest.raises(BuildError, match=r"RandomFlip: py is 1.5; expected a number in 0…1"):
        RandomFlip(py=1.5)
