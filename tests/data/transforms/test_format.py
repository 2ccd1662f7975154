import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.data.image import image_from_tensor, rgb_to_yuv
from hatlite.data.transforms import DeleteKeys, Normalize, RenameKeys, ToTensor
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
    shown = image_from_tensor(out, [1, 2, 3], 1, yuv=False, bgr=True)
    np.testing.assert_array_equal(shown, sample["img"])


def test_a_tensor_holds_one_kind_of_colours():
    with pytest.raises(BuildError, match="ToTensor: to_yuv and to_bgr are both True; a tensor holds one of them"):
        ToTensor(to_yuv=True, to_bgr=True)


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


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=30)
def test_showing_the_tensor_undoes_it(make_sample, seed, yuv):
    rng = np.random.default_rng(seed)
    sample = make_sample(5, 4, boxes=())
    sample["img"] = rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)
    tensor = Normalize([100, 128, 128], [58, 57, 57])(ToTensor(yuv)(sample, rng), rng)["img"]
    shown = image_from_tensor(tensor, [100, 128, 128], [58, 57, 57], yuv=yuv)
    np.testing.assert_allclose(shown.astype(int), sample["img"], atol=1 if yuv else 0)
    planes = image_from_tensor(tensor, [100, 128, 128], [58, 57, 57], yuv=False)
    np.testing.assert_array_equal(planes, rgb_to_yuv(sample["img"]) if yuv else sample["img"])


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
