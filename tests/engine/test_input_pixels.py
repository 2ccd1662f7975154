import numpy as np
import pytest

from hatlite.data.transforms import DeleteKeys, Normalize, QuantizePixels, ToTensor
from hatlite.engine.input_pixels import describe_pixels


@pytest.mark.parametrize(
    ("options", "order"),
    [({}, "RGB"), ({"to_bgr": True}, "BGR"), ({"to_yuv": True}, "YUV"), ({"image_format": "YUV"}, "YCrCb")],
)
def test_order_and_range(options, order):
    said = describe_pixels([len, ToTensor(**options), Normalize(128.0, 64.0), DeleteKeys(["img_id"])])
    assert said["order"] == order
    assert (said["mean"], said["std"], said["range"]) == ([128.0], [64.0], [-2.0, 127 / 64])


def test_it_is_what_the_transforms_do():
    transforms = [ToTensor(to_bgr=True), Normalize((1.0, 2.0, 3.0), (4.0, 5.0, 8.0))]
    none = {"gt_bboxes": np.zeros((0, 4), np.float32), "gt_classes": np.zeros(0, np.int64), "matrix": np.eye(3)}
    sample = {"img": np.array([[[10, 20, 30]]], np.uint8), **none}
    said = describe_pixels(transforms)
    for transform in transforms:
        sample = transform(sample, np.random.default_rng(0))
    assert said["order"] == "BGR"
    expected = (np.array([30, 20, 10]) - said["mean"]) / said["std"]
    np.testing.assert_allclose(sample["img"].flatten(), expected, rtol=1e-6)
    assert said["range"] == [-2 / 5, 254 / 4]


def test_without_normalisation_the_network_gets_pixels():
    said = describe_pixels([ToTensor()])
    assert (said["mean"], said["std"], said["range"]) == ([0.0], [1.0], [0.0, 255.0])


def test_pixels_of_five_bits():
    said = describe_pixels([ToTensor(to_bgr=True), QuantizePixels(5)])
    assert (said["order"], said["bits"], said["range"]) == ("BGR", 5, [0.0, 31.0])
    assert said["value"].startswith("min(31, floor(pixel / 8 + 0.5))")
    assert (said["mean"], said["std"]) == ([0.0], [8.0])


@pytest.mark.parametrize(
    "transforms",
    [
        [],
        [Normalize(0, 1)],
        [ToTensor(), Normalize(0, 1), Normalize(0, 1)],
        [ToTensor(), QuantizePixels(), Normalize(0, 1)],
        [ToTensor(), len],
    ],
)
def test_what_cannot_be_told_is_not(transforms):
    assert describe_pixels(transforms) is None
