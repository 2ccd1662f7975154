import numpy as np
import pytest

from hatlite.data.datasets import synthetic
from hatlite.data.datasets.synthetic import CLASSES, MIN_VISIBLE, OUTLINES, SIDE_RANGE, draw_picture

SIZE = (96, 128)


@pytest.fixture(scope="module")
def drawn():
    return [draw_picture(np.random.default_rng(seed), SIZE) for seed in range(60)]


def test_the_same_seed_draws_the_same_picture(drawn):
    picture, shapes = draw_picture(np.random.default_rng(7), SIZE)
    np.testing.assert_array_equal(picture, drawn[7][0])
    assert [s.box.tolist() for s in shapes] == [s.box.tolist() for s in drawn[7][1]]


def test_pictures_keep_their_promises(drawn):
    for picture, shapes in drawn:
        assert picture.shape == (*SIZE, 3)
        assert picture.dtype == np.uint8
        assert 1 <= len(shapes) <= 6
        for shape in shapes:
            x1, y1, x2, y2 = shape.box
            assert 0 <= x1 < x2 <= SIZE[1]
            assert 0 <= y1 < y2 <= SIZE[0]
            assert SIDE_RANGE[0] <= shape.side / min(SIZE) <= SIDE_RANGE[1]
            assert 0 <= shape.occluded <= 1 - MIN_VISIBLE
        assert shapes[-1].occluded == 0  # nothing lies over the last


def test_at_least_a_fifth_is_occluded_and_all_classes_occur(drawn):
    shapes = [shape for _, found in drawn for shape in found]
    assert np.mean([shape.occluded >= 0.05 for shape in shapes]) >= 0.2
    assert {shape.label for shape in shapes} == set(range(len(CLASSES)))
    assert len(CLASSES) >= 4


@pytest.mark.parametrize("label", range(len(CLASSES)))
@pytest.mark.parametrize("line", [0.0, 4.0])
def test_a_box_fits_its_shape_to_the_pixel(label, line):
    points = synthetic._outline(np.random.default_rng(label), label, 40 - line) + 48.0
    coverage = synthetic._rasterise(points, line, (96, 96))
    low, high = points.min(axis=0) - line / 2, points.max(axis=0) + line / 2
    assert max(high - low) == pytest.approx(40)
    ys, xs = np.nonzero(coverage)
    np.testing.assert_allclose([xs.min(), ys.min()], low, atol=1.2)
    np.testing.assert_allclose([xs.max() + 1, ys.max() + 1], high, atol=1.2)


def test_a_square_covers_its_pixels():
    points = np.array([[10.0, 20.0], [30.0, 20.0], [30.0, 40.0], [10.0, 40.0]])
    coverage = synthetic._rasterise(points, 0.0, (64, 64))
    assert (coverage[20:40, 10:30] == 1).all()
    assert coverage.sum() == pytest.approx(400, rel=0.06)


def test_shapes_stand_out():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        ground = rng.uniform(0, 255, 3)
        assert np.linalg.norm(synthetic._colour(rng, ground) - ground) >= synthetic.MIN_CONTRAST


def test_outlines_are_named_in_alphabetical_order():
    assert list(OUTLINES) == sorted(OUTLINES)
