import cv2
import numpy as np
import pytest

from hatlite.data.image import decode_image, encode_jpeg, header_size, read_image, rgb_to_yuv, yuv_to_rgb
from hatlite.errors import DataError, DataNotFoundError


def exact_yuv(img):
    """The definition in integers: floor((2n + d) / 2d) is n / d rounded half up."""
    red, green, blue = (img[..., i].astype(np.int64) for i in range(3))
    fractions = (
        (299 * red + 587 * green + 114 * blue, 1000),
        (886 * blue - 299 * red - 587 * green + 128 * 1772, 1772),
        (701 * red - 587 * green - 114 * blue + 128 * 1402, 1402),
    )
    return np.stack([np.clip((2 * n + d) // (2 * d), 0, 255) for n, d in fractions], axis=-1)


def all_greens_and_blues(red):
    green, blue = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    return np.stack([np.full_like(green, red), green, blue], axis=-1)


@pytest.mark.parametrize("red", [0, 1, 2, 37, 100, 127, 128, 129, 186, 251, 254, 255])
def test_yuv_is_the_definition_to_the_last_integer(red):
    img = all_greens_and_blues(red)
    yuv = rgb_to_yuv(img)
    np.testing.assert_array_equal(yuv, exact_yuv(img))
    assert np.abs(yuv_to_rgb(yuv).astype(int) - img).max() <= 1


def test_yuv_rounds_ties_up():
    ties = [(1, 1, 1 + i) for i in range(255) if (299 + 587 + 114 * (1 + i)) % 1000 == 500]
    assert ties
    for tie in ties:
        img = np.array([[tie]], np.uint8)
        assert rgb_to_yuv(img)[0, 0, 0] == (sum(np.multiply(tie, (299, 587, 114))) + 500) // 1000


def test_yuv_agrees_with_opencv_within_one():
    img = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    luma, red_diff, blue_diff = cv2.split(cv2.cvtColor(img, cv2.COLOR_RGB2YCrCb).astype(int))
    np.testing.assert_allclose(rgb_to_yuv(img), np.stack([luma, blue_diff, red_diff], -1), atol=1)


def photo(height=64, width=96):
    ramp = np.linspace(0, 255, width)[None, :, None] * np.ones((height, 1, 3)) * [1, 0.5, 0.1]
    return ramp.astype(np.uint8)


def test_jpeg_there_and_back():
    img = photo()
    data = encode_jpeg(img, quality=100)
    assert data == encode_jpeg(img, quality=100)
    back = decode_image(data, "ramp.jpg")
    assert back.dtype == np.uint8
    assert back.shape == img.shape
    assert back.flags.c_contiguous
    np.testing.assert_allclose(back.astype(int), img, atol=6)  # red is red and blue is blue
    assert len(encode_jpeg(img, quality=30)) < len(data)


def test_png_is_exact():
    img = photo()
    _, data = cv2.imencode(".png", img[..., ::-1])
    np.testing.assert_array_equal(decode_image(data.tobytes(), "ramp.png"), img)


def test_grey_files_become_three_channels():
    _, data = cv2.imencode(".jpg", photo()[..., 0])
    assert decode_image(data.tobytes(), "grey.jpg").shape == (64, 96, 3)


def test_the_camera_orientation_is_not_applied():
    data = encode_jpeg(photo(64, 96))
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6: turn right
    turned = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (96, 64, 3)
    assert decode_image(turned, "turned.jpg").shape == (64, 96, 3)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.99])
def test_a_truncated_jpeg_is_refused(share):
    data = encode_jpeg(photo())
    with pytest.raises(DataError, match=r"image half.jpg is a truncated JPEG of \d+ bytes"):
        decode_image(data[: max(4, int(len(data) * share))], "half.jpg")


def test_the_end_mark_of_a_thumbnail_does_not_count():
    data, thumbnail = encode_jpeg(photo()), encode_jpeg(photo(8, 8))
    whole = data[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + data[2:]
    assert decode_image(whole, "whole.jpg").shape == (64, 96, 3)
    with pytest.raises(DataError, match="truncated JPEG"):
        decode_image(whole[:-100], "half.jpg")


@pytest.mark.parametrize("data", [b"", b"not an image at all", b"\x89PNG\r\n\x1a\nnothing"])
def test_bytes_that_are_no_image(data):
    with pytest.raises(DataError, match=r"image noise.jpg .*cannot be decoded"):
        decode_image(data, "noise.jpg")


def test_reading_files(tmp_path):
    path = tmp_path / "ramp.jpg"
    with pytest.raises(
        DataNotFoundError, match=r"image .*ramp.jpg does not exist; name a JPEG or PNG file that does\.$"
    ):
        read_image(path)
    path.write_bytes(encode_jpeg(photo()))
    with pytest.raises(DataNotFoundError, match=r"image .*rmp.JPG does not exist; .*\n  Did you mean 'ramp.jpg'\?"):
        read_image(tmp_path / "rmp.JPG")
    with pytest.raises(DataNotFoundError, match="image .*ramp.jpg does not exist, nor does its folder .*/none; name a"):
        read_image(tmp_path / "none/ramp.jpg")
    assert read_image(str(path)).shape == (64, 96, 3)


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_the_header_tells_the_size(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    cv2.imwrite(str(path), photo(37, 50))
    assert header_size(path) == read_image(path).shape[:2] == (37, 50)
    path.write_bytes(path.read_bytes()[:17])
    assert header_size(path) is None


def test_the_header_of_a_jpeg_may_hold_a_thumbnail_and_fill_bytes(tmp_path):
    path, data, thumbnail = tmp_path / "a.jpg", encode_jpeg(photo()), encode_jpeg(photo(8, 8))
    path.write_bytes(
        data[:2] + b"\xff\xff\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + b"\xff" + data[2:]
    )
    assert header_size(path) == read_image(path).shape[:2] == (64, 96)


def test_a_progressive_jpeg_has_a_frame_too(tmp_path):
    cv2.imwrite(str(tmp_path / "a.jpg"), photo(37, 50), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    assert header_size(tmp_path / "a.jpg") == (37, 50)


@pytest.mark.parametrize(
    "data", [b"", b"text and more text", b"\xff\xd8\xff\xda\0\2" + bytes(9), b"\xff\xd8" + bytes(9)]
)
def test_a_header_without_a_size(tmp_path, data):
    (tmp_path / "a.jpg").write_bytes(data)
    assert header_size(tmp_path / "a.jpg") is None
    assert header_size(tmp_path) is None


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(DataError, match=r"image .* cannot be read: Is a directory\."):
        read_image(tmp_path)
