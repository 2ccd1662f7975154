"""NV12 by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hatlite.data.image import rgb_to_yuv
from hatlite.data.nv12 import nv12_to_yuv, yuv_to_nv12


def test_a_block_by_hand() -> None:
    """Sums of U are 10 + 11 + 12 + 13 = 46 and (46 + 2) >> 2 = 12; of V 1 + 0 + 0 + 0 = 1 and (1 + 2) >> 2 = 0."""
    img = np.array([[[5, 10, 1], [6, 11, 0]], [[7, 12, 0], [8, 13, 0]]], np.uint8)
    picture = yuv_to_nv12(img)
    assert picture.luma.tolist() == [[5, 6], [7, 8]]
    assert picture.chroma.tolist() == [[[12, 0]]]
    assert nv12_to_yuv(picture).tolist() == [[[5, 12, 0], [6, 12, 0]], [[7, 12, 0], [8, 12, 0]]]


def test_red_beside_black_by_hand() -> None:
    """Red is Y 76, U 85, V 255 (255.5 clamped); black 0, 128, 128; two of each: U (426 + 2) >> 2, V (766 + 2) >> 2."""
    img = np.array([[[255, 0, 0], [0, 0, 0]]] * 2, np.uint8)
    yuv = rgb_to_yuv(img)
    assert yuv[0].tolist() == [[76, 85, 255], [0, 128, 128]]
    assert yuv_to_nv12(yuv).chroma.tolist() == [[[107, 192]]]


def test_odd_sides_are_extended_by_their_last_row_and_column() -> None:
    img = np.zeros((3, 1, 3), np.uint8)
    img[2] = 9, 20, 30
    picture = yuv_to_nv12(img)
    assert picture.luma.tolist() == [[0, 0], [0, 0], [9, 9], [9, 9]]
    assert picture.chroma.tolist() == [[[0, 0]], [[20, 30]]]


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_luma_is_kept_chroma_is_the_rounded_mean_and_twice_is_once(seed: int, height: int, width: int) -> None:
    img = np.random.default_rng(seed).integers(0, 256, (2 * height, 2 * width, 3), np.uint8)
    back = nv12_to_yuv(yuv_to_nv12(img))
    np.testing.assert_array_equal(back[..., 0], img[..., 0])
    means = img[..., 1:].astype(np.int64).reshape(height, 2, width, 2, 2).mean(axis=(1, 3))
    np.testing.assert_array_equal(back[::2, ::2, 1:], np.floor(means + 0.5))
    np.testing.assert_array_equal(nv12_to_yuv(yuv_to_nv12(back)), back)


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_picture_of_one_colour_stays(value: int) -> None:
    img = np.full((4, 6, 3), value, np.uint8)
    np.testing.assert_array_equal(nv12_to_yuv(yuv_to_nv12(img)), img)
