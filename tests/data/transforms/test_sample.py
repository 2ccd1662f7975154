import numpy as np
import pytest
import torch

from hatlite.data.transforms import AugmentHSV, Pad, RandomCrop, RandomFlip, Resize, ToTensor
from hatlite.data.transforms.sample import move_boxes
from hatlite.errors import ConfigError, DataError

PICTURE_TRANSFORMS = [Resize((8, 8)), RandomCrop((8, 8)), Pad(divisor=8), RandomFlip(), AugmentHSV(), ToTensor()]


def test_mirrored_boxes_get_their_corners_in_order():
    matrix = np.array([[-2, 0, 100], [0, 3, 1], [0, 0, 1]], np.float64)
    boxes = move_boxes(np.array([[10, 1, 20, 2]], np.float32), matrix)
    assert boxes.dtype == np.float32
    np.testing.assert_array_equal(boxes, [[60, 4, 80, 7]])


@pytest.mark.parametrize("transform", PICTURE_TRANSFORMS, ids=lambda t: type(t).__name__)
def test_a_missing_key_is_named(make_sample, rng, transform):
    sample = make_sample()
    del sample["matrix"]
    with pytest.raises(DataError, match=rf"{type(transform).__name__}: the sample of image seven.jpg lacks matrix"):
        transform(sample, rng)


@pytest.mark.parametrize("transform", PICTURE_TRANSFORMS, ids=lambda t: type(t).__name__)
def test_a_tensor_comes_too_early(make_sample, rng, transform):
    sample = {**make_sample(), "img": torch.zeros(3, 4, 4)}
    name = type(transform).__name__
    with pytest.raises(ConfigError, match=rf"{name}: image seven.jpg is \(3, 4, 4\) torch.float32; .* before ToTensor"):
        transform(sample, rng)
