import cv2
import numpy as np
import pytest

from hatlite.data.image import rgb_to_yuv
from hatlite.data.pixel_format import ORDERS, from_rgb, split, to_rgb


@pytest.fixture
def img():
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def test_orders_by_hand(img):
    red = np.array([[[255, 0, 0]]], np.uint8)
    assert {order: from_rgb(red, order).flatten().tolist() for order in ORDERS} == {
        "RGB": [255, 0, 0],
        "BGR": [0, 0, 255],
        "YUV": [76, 85, 255],
        "YCrCb": [76, 255, 85],
    }
    np.testing.assert_array_equal(from_rgb(img, "YUV"), rgb_to_yuv(img))


def test_ycrcb_is_that_of_opencv_up_to_rounding(img):
    np.testing.assert_allclose(from_rgb(img, "YCrCb"), cv2.cvtColor(img, cv2.COLOR_RGB2YCrCb).astype(int), atol=1)


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_comes_back(img, order):
    np.testing.assert_array_equal(np.stack(split(img, order), -1), from_rgb(img, order))
    back = to_rgb(from_rgb(img, order), order).astype(int)
    np.testing.assert_allclose(back, img, atol=1 if order.startswith("Y") else 0)
