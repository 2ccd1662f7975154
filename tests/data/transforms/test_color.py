import colorsys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.data.transforms import AugmentHSV, BoxBlur, RandomHSVFactors
from hatlite.data.transforms.color import hsv_table
from hatlite.errors import BuildError


def drawing(*numbers):
    """A generator that draws these numbers."""
    return SimpleNamespace(uniform=lambda low, high, count: np.array(numbers, float))


def filled(make_sample, color):
    sample = make_sample(4, 4, boxes=())
    sample["img"][:] = color
    return sample


def test_value_by_hand(make_sample):
    out = AugmentHSV(0, 0, 0.4)(filled(make_sample, 100), drawing(0, 0, 0.5))
    np.testing.assert_array_equal(out["img"], np.full((4, 4, 3), 120))  # 100 · (1 + 0.4 · 0.5)


def test_saturation_by_hand(make_sample):
    out = AugmentHSV(0, 1, 0)(filled(make_sample, (200, 100, 100)), drawing(0, -1, 0))
    np.testing.assert_array_equal(out["img"], np.full((4, 4, 3), 200))  # no saturation left


def test_hue_turns_red_into_green_and_blue(make_sample):
    for turn, color in ((1, (0, 255, 0)), (-1, (0, 0, 255))):
        out = AugmentHSV(1 / 3, 0, 0)(filled(make_sample, (255, 0, 0)), drawing(turn, 0, 0))
        np.testing.assert_allclose(out["img"][0, 0], color, atol=6)  # a third of 256 hues is no whole step


def test_table_by_hand():
    table = hsv_table(0.5, 0.5, -1)[0]
    assert table.dtype == np.uint8
    np.testing.assert_array_equal(table[[0, 1, 128, 255]], [[128, 0, 0], [129, 2, 0], [0, 192, 0], [127, 255, 0]])


def test_without_gains_nothing_changes(make_sample, rng):
    sample = filled(make_sample, (12, 34, 56))
    assert AugmentHSV(0, 0, 0)(sample, rng) is sample


@given(st.tuples(*[st.integers(0, 255)] * 3), st.integers(0, 2**32))
@settings(max_examples=60)
def test_boxes_stay_and_grey_stays_grey(make_sample, color, seed):
    sample = filled(make_sample, color[0])
    sample["img"][0] = color
    out = AugmentHSV()(sample, np.random.default_rng(seed))
    assert out["gt_bboxes"] is sample["gt_bboxes"]
    assert out["matrix"] is sample["matrix"]
    assert (np.ptp(out["img"][1:], axis=-1) == 0).all()


@given(st.tuples(*[st.integers(0, 255)] * 3), st.floats(-1, 1))
@settings(max_examples=60)
def test_value_agrees_with_colorsys(make_sample, color, amount):
    out = AugmentHSV(0, 0, 0.4)(filled(make_sample, color), drawing(0, 0, amount))
    hue, saturation, value = colorsys.rgb_to_hsv(*np.array(color) / 255)
    expected = 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, min(1, value * (1 + 0.4 * amount))))
    # A circle of hues has 6 · 255 colours. OpenCV encodes it in 256 steps, half a step of error, and decodes 255 of
    # them as the whole circle, at most one more; S and V are rounded to whole levels.
    np.testing.assert_allclose(out["img"][0, 0], expected, atol=1.5 * 6 * 255 / 256 + 1)


def test_value_is_exact_where_there_is_no_hue(make_sample):
    for level in range(256):
        out = AugmentHSV(0, 0, 0.4)(filled(make_sample, level), drawing(0, 0, 0.9))
        assert (out["img"] == min(255, np.floor(level * (1 + 0.4 * 0.9) + 0.5))).all()


def choosing(*places):
    """A generator that takes each of three changes, with the factor at this share of its list."""
    return SimpleNamespace(random=lambda shape: np.array([np.zeros(3), places]))


def test_factors_by_hand(make_sample):
    value = RandomHSVFactors(hue=(), saturation=())(filled(make_sample, 100), choosing(0, 0, 0.9))
    np.testing.assert_array_equal(value["img"], np.full((4, 4, 3), 150))
    clipped = RandomHSVFactors(hue=(), saturation=())(filled(make_sample, 200), choosing(0, 0, 0.9))
    np.testing.assert_array_equal(clipped["img"], np.full((4, 4, 3), 255))
    grey = RandomHSVFactors(hue=(), saturation=(0,), value=())(filled(make_sample, (200, 100, 100)), choosing(0, 0, 0))
    np.testing.assert_array_equal(grey["img"], np.full((4, 4, 3), 200))


def test_a_hue_beyond_the_circle_begins_it_anew(make_sample):
    """Magenta is at 5/6 of the circle; 1.5 of that is a quarter of the next one, a green with half as much red."""
    out = RandomHSVFactors(saturation=(), value=())(filled(make_sample, (255, 0, 255)), choosing(0.9, 0, 0))
    np.testing.assert_allclose(out["img"][0, 0], (128, 255, 0), atol=6)


def test_every_factor_has_its_own_chance_and_the_same_share(make_sample):
    sample = filled(make_sample, 100)
    transform = RandomHSVFactors(hue=(), saturation=())
    levels = [transform(sample, np.random.default_rng(seed))["img"][0, 0, 0] for seed in range(400)]
    counts = {level: levels.count(level) for level in (50, 100, 150)}
    assert sum(counts.values()) == 400
    assert 160 < counts[100] < 240
    assert 70 < counts[50] < 130
    assert RandomHSVFactors(prob=0)(sample, np.random.default_rng(0)) is sample


def test_blur_by_hand(make_sample, rng):
    sample = make_sample(9, 9, boxes=())
    sample["img"][4, 4] = 250
    out = BoxBlur(prob=1)(sample, rng)
    assert (out["img"][2:7, 2:7] == 10).all()
    assert out["img"].sum() == 25 * 10 * 3
    assert sample["img"].sum() == 750
    assert BoxBlur(prob=0)(sample, rng) is sample


def test_settings_of_factors_and_blur_are_checked():
    with pytest.raises(BuildError, match=r"RandomHSVFactors: hue is \(-0.5, 1.5\); expected factors, 0 or above"):
        RandomHSVFactors(hue=(-0.5, 1.5))
    with pytest.raises(BuildError, match=r"RandomHSVFactors: prob is 50; expected a number in 0…1"):
        RandomHSVFactors(prob=50)
    with pytest.raises(BuildError, match=r"BoxBlur: size is 4; expected an odd number of pixels"):
        BoxBlur(4)


@pytest.mark.parametrize(("key", "gain"), [("hgain", 0.6), ("sgain", -0.1), ("vgain", 1.5)])
def test_gains_are_checked(key, gain):
    with pytest.raises(BuildError, match=rf"AugmentHSV: {key} is {gain}; expected a number in 0…"):
        AugmentHSV(**{key: gain})
