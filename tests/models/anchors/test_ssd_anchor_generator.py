"""SSDAnchorGenerator: published sizes and numbers, and torchvision's boxes."""

import pytest
import torch
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList

from hatlite.errors import BuildError
from hatlite.models.anchors.ssd_anchor_generator import SSDAnchorGenerator

VGG = {
    "strides": (8, 16, 32, 64, 128, 256, 512),
    "ratios": ((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    "basesize_ratio_range": (0.15, 0.9),
}


def sizes_of(generator, side=512):
    return [(side // stride, side // stride) for stride in generator.strides]


def test_sizes_and_number_of_the_models_with_fpn():
    generator = SSDAnchorGenerator(512)
    assert generator.min_sizes == (20, 51, 153, 256, 358, 460)
    assert generator.max_sizes == (51, 153, 256, 358, 460, 563)
    assert generator.num_anchors == (4, 6, 6, 6, 6, 4)
    assert generator.anchors(sizes_of(generator)).shape == (24560, 4)


def test_sizes_and_number_of_ssd512_with_vgg16():
    generator = SSDAnchorGenerator(512, **VGG)
    assert generator.min_sizes == (35, 76, 153, 230, 307, 384, 460)
    assert generator.max_sizes == (76, 153, 230, 307, 384, 460, 537)
    assert generator.num_anchors == (4, 6, 6, 6, 6, 4, 4)
    assert generator.anchors(sizes_of(generator)).shape == (24564, 4)


def test_the_longer_side_counts():
    generator = SSDAnchorGenerator((384, 768))
    assert generator.input_size == (384, 768)
    assert generator.min_sizes == (30, 76, 230, 384, 537, 691)


def test_shapes_of_a_cell_in_the_published_order():
    square, between, wide, high, wider, higher = SSDAnchorGenerator(512).cells[1]
    assert square == (51, 51)
    assert between == pytest.approx(((51 * 153) ** 0.5,) * 2)
    assert wide == pytest.approx((51 * 2**0.5, 51 / 2**0.5))
    assert high == wide[::-1]
    assert wider == pytest.approx((51 * 3**0.5, 51 / 3**0.5))
    assert higher == wider[::-1]


@pytest.mark.parametrize("options", [{}, VGG])
def test_torchvision_makes_the_same(options):
    generator = SSDAnchorGenerator(512, **options)
    sizes = sizes_of(generator)
    scales = [size / 512 for size in (*generator.min_sizes, generator.max_sizes[-1])]
    aspect_ratios = [list(map(int, level)) for level in options.get("ratios", ((2,), *((2, 3),) * 4, (2,)))]
    theirs = DefaultBoxGenerator(aspect_ratios, scales=scales, steps=list(generator.strides), clip=False)
    images = ImageList(torch.zeros(1, 3, 512, 512), [(512, 512)])
    expected = theirs(images, [torch.zeros(1, 1, *size) for size in sizes])[0]
    torch.testing.assert_close(generator.anchors(sizes), expected, rtol=0, atol=1e-3)


def test_refuses_what_does_not_fit():
    with pytest.raises(
        BuildError, match="ratios has 6 levels and strides 2; expected an entry of each for every level"
    ):
        SSDAnchorGenerator(512, (8, 16))
    with pytest.raises(BuildError, match="strides has 2 levels; expected at least 3, since the sizes of the second to"):
        SSDAnchorGenerator(512, (8, 16), ((2,), (2,)))
    with pytest.raises(BuildError, match=r"input_size is \[512\]; expected one side or \(height, width\), above 0"):
        SSDAnchorGenerator([512])
    with pytest.raises(BuildError, match=r"begins at 0.12, for which .* \(only for 0.1, 0.15, 0.2\); give first_ratio"):
        SSDAnchorGenerator(512, basesize_ratio_range=(0.12, 0.9))
    with pytest.raises(BuildError, match="sizes must grow, but first_ratio is 0.2 and basesize_ratio_range 0.12…0.9"):
        SSDAnchorGenerator(512, basesize_ratio_range=(0.12, 0.9), first_ratio=0.2)
