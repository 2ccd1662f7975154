import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.data.transforms import ColorJitter, PhotoMetricDistortion
from hatlite.errors import BuildError


def filled(make_sample, *colors):
    sample = make_sample(1, len(colors), boxes=())
    sample["img"][0] = np.array(colors)
    return sample


class Drawing:
    """A generator that draws these numbers, keeps the order of steps, and takes every step or none."""

    def __init__(self, *numbers, coin=0.0):
        self.numbers, self.coin = list(numbers), coin

    def uniform(self, low, high):
        return self.numbers.pop(0)

    def permutation(self, count):
        return np.arange(count)[::-1]

    def random(self):
        return self.coin


def test_jitter_by_hand(make_sample):
    bright = ColorJitter(brightness=0.5)(filled(make_sample, (100, 200, 3)), Drawing(1.5))
    assert bright["img"].tolist() == [[[150, 255, 5]]]  # 4.5 is rounded up
    # grey pixels 50 and 150: their mean is 100
    contrast = ColorJitter(contrast=0.5)(filled(make_sample, (50,) * 3, (150,) * 3), Drawing(0.5))
    assert contrast["img"].tolist() == [[[75] * 3, [125] * 3]]
    # pure green has a grey of 0.587 · 255 = 150
    pale = ColorJitter(saturation=1.0)(filled(make_sample, (0, 255, 0)), Drawing(0.0))
    assert pale["img"].tolist() == [[[150] * 3]]
    green = ColorJitter(hue=0.5)(filled(make_sample, (255, 0, 0)), Drawing(1 / 3))
    np.testing.assert_allclose(green["img"][0, 0], (0, 255, 0), atol=6)  # a third of 256 hues is no whole step


def test_jitter_takes_its_steps_in_the_drawn_order(make_sample):
    # first brightness · 2, which clamps to 255, then saturation 0: the other way round it were 2 · 150 = 255 for both
    img = ColorJitter(brightness=1.0, saturation=1.0)
    img.steps.reverse()
    out = img(filled(make_sample, (0, 200, 0)), Drawing(2.0, 0.0))
    assert out["img"].tolist() == [[[150] * 3]]


def test_strengths_of_zero_leave_all_as_it_is(make_sample, rng):
    sample = filled(make_sample, (1, 2, 3), (200, 100, 0))
    np.testing.assert_array_equal(ColorJitter()(sample, rng)["img"], sample["img"])


def test_distortion_by_hand(make_sample):
    # + 10; contrast · 1.1; saturation and hue as they are; the channels turned round
    out = PhotoMetricDistortion()(filled(make_sample, (90, 40, 240)), Drawing(10.0, 1.1, 1.0, 0.0))
    assert out["img"].tolist() == [[[255, 55, 110]]]


def test_without_luck_nothing_is_distorted(make_sample):
    sample = filled(make_sample, (90, 40, 240))
    np.testing.assert_array_equal(PhotoMetricDistortion()(sample, Drawing(coin=0.9))["img"], sample["img"])


@given(st.integers(0, 2**32))
@settings(max_examples=30)
@pytest.mark.parametrize("transform", [ColorJitter(0.4, 0.4, 0.7, 0.1), PhotoMetricDistortion()])
def test_only_the_picture_changes_and_the_same_draw_gives_the_same(make_sample, transform, seed):
    sample = make_sample(12, 16)
    before = sample["img"].copy()
    out, again = (transform(sample, np.random.default_rng(seed)) for _ in range(2))
    assert {key for key in sample if out[key] is not sample[key]} == {"img"}
    assert (out["img"].dtype, out["img"].shape) == (np.uint8, (12, 16, 3))
    np.testing.assert_array_equal(out["img"], again["img"])
    np.testing.assert_array_equal(sample["img"], before)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: ColorJitter(contrast=-1), "ColorJitter: contrast is -1; expected a number, 0 or above"),
        (lambda: ColorJitter(hue=0.6), "ColorJitter: hue is 0.6; expected a number in 0…0.5"),
        (lambda: PhotoMetricDistortion(hue_delta=400), "PhotoMetricDistortion: hue_delta is 400; expected a number in"),
        (lambda: PhotoMetricDistortion(contrast_range=(2, 1)), r"contrast_range is \(2, 1\); expected \(low, high\)"),
        (lambda: PhotoMetricDistortion(saturation_range=[1]), r"saturation_range is \[1\]; expected \(low, high\)"),
    ],
)
def test_bad_arguments_are_refused(build, text):
    with pytest.raises(BuildError, match=text):
        build()
