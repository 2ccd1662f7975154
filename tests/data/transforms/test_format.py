import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.data.pixel_format import from_rgb, image_from_tensor, quantize_pixels
from hatlite.data.transforms import DeleteKeys, Normalize, QuantizePixels, RenameKeys, ToTensor
from hatlite.errors import BuildError, ConfigError


def colored(make_sample, *pixels):
    sample = make_sample(1, len(pixels), boxes=())
    sample["img"][0] = pixels
    return sample


def test_to_tensor_by_hand(make_sample, rng):
    img = ToTensor()(colored(make_sample, (1, 2, 3), (4, 5, 6)), rng)["img"]
    assert img.dtype == torch.float32
    assert img.is_contiguous()
    assert img.tolist() == [[[1, 4]], [[2, 5]], [[3, 6]]]


def test_to_bgr_by_hand(make_sample, rng):
    sample = colored(make_sample, (1, 2, 3), (4, 5, 6))
    img = ToTensor(to_bgr=True)(sample, rng)["img"]
    assert img.is_contiguous()
    assert img.tolist() == [[[3, 6]], [[2, 5]], [[1, 4]]]
    out = Normalize(mean=[1, 2, 3], std=1)({**sample, "img": img}, rng)["img"]
    assert out.flatten().tolist() == [2, 5, 0, 3, -2, 1]


@pytest.mark.parametrize(
    ("image_format", "order", "red"),
    [("RGB", "RGB", [255, 0, 0]), ("BGR", "BGR", [0, 0, 255]), ("YUV", "YCrCb", [76, 255, 85])],
)
def test_the_formats_of_gnetdet_by_hand(make_sample, rng, image_format, order, red):
    transform = ToTensor(image_format=image_format)
    assert transform.order == order
    assert transform(colored(make_sample, (255, 0, 0)), rng)["img"].flatten().tolist() == red


def test_a_tensor_holds_one_order_of_channels():
    with pytest.raises(BuildError, match="ToTensor: to_yuv is True and to_bgr is True; a tensor holds one order of ch"):
        ToTensor(to_yuv=True, to_bgr=True)
    with pytest.raises(BuildError, match="to_bgr is True and image_format is 'BGR'; a tensor holds one order"):
        ToTensor(to_bgr=True, image_format="BGR")
    with pytest.raises(BuildError, match="ToTensor: image_format is 'YCC'; expected one of BGR, RGB, YUV"):
        ToTensor(image_format="YCC")


def test_quantized_pixels_by_hand(rng):
    img = torch.tensor([0, 3, 4, 11, 12, 243, 244, 247, 248, 255.0]).repeat(3, 1, 1)
    out = QuantizePixels()({"img": img}, rng)["img"]
    assert out.dtype == torch.float32
    assert out[1, 0].tolist() == [0, 0, 1, 1, 2, 30, 31, 31, 31, 31]
    assert img[0, 0, 2] == 4  # what went in is as it was


@pytest.mark.parametrize("bits", range(1, 8))
def test_tensors_and_arrays_have_the_same_levels(rng, bits):
    pixels = np.arange(256, dtype=np.uint8)
    levels = quantize_pixels(pixels, bits)
    assert levels.dtype == np.uint8
    out = QuantizePixels(bits)({"img": torch.arange(256.0).repeat(3, 1, 1)}, rng)["img"]
    assert out[0, 0].tolist() == levels.tolist()
    assert levels.tolist() == [min(2**bits - 1, int(x / 2 ** (8 - bits) + 0.5)) for x in range(256)]


@pytest.mark.parametrize("bits", [0, 8])
def test_bits_of_pixels_are_checked(bits):
    with pytest.raises(BuildError, match=rf"QuantizePixels: bits is {bits}; expected a whole number in 1…7"):
        QuantizePixels(bits)


def test_pixels_are_quantized_as_a_tensor(make_sample, rng):
    with pytest.raises(ConfigError, match="expected the tensor that ToTensor makes. Put ToTensor before QuantizePix"):
        QuantizePixels()(make_sample(), rng)


def test_to_yuv_by_hand(make_sample, rng):
    img = ToTensor(to_yuv=True)(colored(make_sample, (255, 0, 0), (0, 0, 0), (255, 255, 255), (9, 9, 9)), rng)["img"]
    # red: Y = 76.245, U = 128 − 43.027, V = 128 + 127.5 = 255.5, which rounds to 256 and is clamped
    assert img.tolist() == [[[76, 0, 255, 9]], [[85, 128, 128, 128]], [[255, 128, 128, 128]]]


def test_normalize_is_exactly_pixel_minus_128(make_sample, rng):
    img = torch.arange(256, dtype=torch.float32).repeat(3, 1, 1)
    out = Normalize(mean=128.0, std=128.0)({"img": img}, rng)["img"]
    assert torch.equal(out * 128, img - 128)
    assert torch.equal(img[0, 0], torch.arange(256.0))  # what went in is as it was


def test_normalize_per_channel(rng):
    out = Normalize(mean=[1, 2, 3], std=(2, 4, 8))({"img": torch.full((3, 1, 1), 11.0)}, rng)["img"]
    assert out.flatten().tolist() == [5, 2.25, 1]


@given(st.integers(0, 2**32), st.sampled_from([{}, {"to_yuv": True}, {"to_bgr": True}, {"image_format": "YUV"}]))
@settings(max_examples=30)
def test_showing_the_tensor_undoes_it(make_sample, seed, options):
    rng = np.random.default_rng(seed)
    sample = make_sample(5, 4, boxes=())
    sample["img"] = rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)
    transform = ToTensor(**options)
    tensor = transform(sample, rng)["img"]
    exact = transform.order in ("RGB", "BGR")
    np.testing.assert_allclose(
        image_from_tensor(tensor, transform.order).astype(int), sample["img"], atol=0 if exact else 1
    )
    np.testing.assert_array_equal(tensor.permute(1, 2, 0).numpy(), from_rgb(sample["img"], transform.order))


def test_a_cropped_view_becomes_a_tensor(make_sample, rng):
    sample = make_sample(20, 20)
    sample["img"] = sample["img"][3:9, 4:16]
    for yuv in (False, True):
        assert ToTensor(yuv)(sample, rng)["img"].shape == (3, 6, 12)


def test_there_is_one_yuv():
    with pytest.raises(BuildError, match="use_yuv_v2 is True; only False exists"):
        ToTensor(to_yuv=True, use_yuv_v2=True)


@pytest.mark.parametrize("kwargs", [{"mean": [1, 2], "std": 1}, {"mean": 0, "std": "a"}])
def test_normalize_wants_one_number_or_three(kwargs):
    with pytest.raises(BuildError, match=r"Normalize: .* expected one number or three"):
        Normalize(**kwargs)


def test_normalize_refuses_to_divide_by_zero():
    with pytest.raises(BuildError, match=r"std is \[1, 0, 1\]; expected numbers above 0"):
        Normalize(0, [1, 0, 1])


def test_normalize_before_to_tensor(make_sample, rng):
    with pytest.raises(ConfigError, match=r"Normalize: image seven.jpg is \(48, 64, 3\) uint8; .* Put ToTensor before"):
        Normalize(0, 1)(make_sample(), rng)


def test_keys_go_and_get_other_names(make_sample, rng):
    sample = {**make_sample(), "depth": 1, "boxes": 2}
    out = RenameKeys(["depth | z", "boxes|b"])(sample, rng)
    assert (out["z"], out["b"]) == (1, 2)
    assert set(DeleteKeys(["z", "b"])(out, rng)) == set(make_sample())
    assert RenameKeys(["depth > z"], split=">")(sample, rng)["z"] == 1


@pytest.mark.parametrize("transform", [DeleteKeys(["depht"]), RenameKeys(["depht | z"])])
def test_a_key_that_is_not_there_is_told(make_sample, rng, transform):
    with pytest.raises(
        ConfigError, match="the sample of image seven.jpg has no depht; at this point it has img, gt_bb"
    ):
        transform(make_sample(), rng)


@pytest.mark.parametrize("text", ["a b", "a | b | c", "| b"])
def test_a_renaming_needs_two_names(text):
    with pytest.raises(BuildError, match=r"RenameKeys: keys has '.*'; expected 'old \| new'"):
        RenameKeys([text])
