"""The board's way of a picture differs from the evaluation's where it must and nowhere else."""

import numpy as np
import pytest
import torch

from hatlite.data.image import rgb_to_yuv
from hatlite.data.transforms import AugmentHSV, Normalize, Pad, Resize, SubsampleChroma, ToTensor, ToYUV
from hatlite.data.transforms.board import board_steps
from hatlite.errors import ConfigError

END = [ToTensor(to_yuv=True), Normalize(128, 128)]


def run(transforms, sample, rng):
    for transform in transforms:
        sample = transform(sample, rng)
    return sample


def colourful(sample, seed=0):
    img = np.random.default_rng(seed).integers(0, 256, sample["img"].shape, np.uint8)
    return {**sample, "img": img}


def test_without_a_resize_only_chroma_changes(make_sample, rng):
    sample = colourful(make_sample(13, 16))
    steps = {name: run(one, sample, rng)["img"] for name, one in board_steps([Pad(size=(16, 20)), *END]).items()}
    assert list(steps) == ["int_infer", "resize in YUV", "NV12 of the camera", "NV12 of the network"]
    assert torch.equal(steps["resize in YUV"], steps["int_infer"])  # the border has the same colour, too
    assert torch.equal(steps["NV12 of the camera"][0], steps["int_infer"][0])
    assert not torch.equal(steps["NV12 of the camera"][1:], steps["int_infer"][1:])
    blocks = steps["NV12 of the network"][1:, ::2, ::2]
    assert torch.equal(steps["NV12 of the network"][1:], blocks.repeat_interleave(2, 1).repeat_interleave(2, 2))


def test_boxes_and_matrix_are_those_of_the_evaluation(make_sample, rng):
    steps = board_steps([Resize((24, 32)), Pad(divisor=32), *END])
    first, *others = (run(one, make_sample(), rng) for one in steps.values())
    for other in others:
        np.testing.assert_array_equal(other["gt_bboxes"], first["gt_bboxes"])
        np.testing.assert_array_equal(other["matrix"], first["matrix"])
        assert other["img"].shape == first["img"].shape


def test_grey_pictures_do_not_care(make_sample, rng):
    """Grey has the chroma 128 everywhere and its luma is itself, so all four ways are one."""
    sample = colourful(make_sample())
    sample["img"] = np.repeat(sample["img"][..., :1], 3, axis=2)
    results = [run(one, sample, rng)["img"] for one in board_steps([Resize((20, 30)), *END]).values()]
    assert all(torch.equal(result, results[0]) for result in results)


def test_the_transforms_alone(make_sample, rng):
    sample = colourful(make_sample(5, 7))
    yuv = ToYUV()(sample, rng)["img"]
    np.testing.assert_array_equal(yuv, rgb_to_yuv(sample["img"]))
    assert SubsampleChroma()({**sample, "img": yuv}, rng)["img"].shape == (5, 7, 3)


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ([], "transforms of the evaluation are none; the board gives YUV"),
        (
            [ToTensor(), Normalize(128, 128)],
            r"are ToTensor, Normalize; .* must end in ToTensor\(to_yuv=True\) and Norm",
        ),
        ([AugmentHSV(), *END], "AugmentHSV is among the transforms of the evaluation, and it looks at RGB; expected"),
    ],
)
def test_other_transforms_are_refused(transforms, message):
    with pytest.raises(ConfigError, match=message):
        board_steps(transforms)
