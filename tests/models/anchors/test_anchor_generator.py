"""AnchorGenerator: sizes by hand and beside torchvision's."""

import math

import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator as TorchvisionAnchors
from torchvision.models.detection.image_list import ImageList

from hatlite.errors import BuildError
from hatlite.models.anchors.anchor_generator import AnchorGenerator


def test_nine_shapes_of_the_paper():
    generator = AnchorGenerator()
    assert generator.num_anchors == (9,) * 5
    areas = [math.sqrt(width * height) for width, height in generator.cells[0]]
    assert areas == pytest.approx([32, 32 * 2 ** (1 / 3), 32 * 2 ** (2 / 3)] * 3)
    assert [height / width for width, height in generator.cells[4]] == pytest.approx([0.5] * 3 + [1] * 3 + [2] * 3)
    assert generator.cells[4][3] == (512, 512)
    assert generator.input_size is None


def test_the_published_number_of_anchors():
    sizes = [(384 // stride, 768 // stride) for stride in (8, 16, 32, 64, 128)]
    assert len(AnchorGenerator().anchors(sizes)) == 9 * (48 * 96 + 24 * 48 + 12 * 24 + 6 * 12 + 3 * 6)


def test_torchvision_makes_the_same():
    """Of shapes with even sides, which torchvision does not round."""
    strides, sizes = (8, 16), [(4, 6), (2, 3)]
    ours = AnchorGenerator(strides, (0.25, 1.0, 4.0), 4.0, 1).anchors(sizes)
    theirs = TorchvisionAnchors(((32,), (64,)), ((0.25, 1.0, 4.0),) * 2)
    images = ImageList(torch.zeros(1, 3, 32, 48), [(32, 48)])
    assert torch.equal(ours, theirs(images, [torch.zeros(1, 1, *size) for size in sizes])[0])


@pytest.mark.parametrize("options", [{"strides": ()}, {"ratios": (0.0,)}, {"scales_per_octave": 0}])
def test_refuses_what_makes_no_anchor(options):
    with pytest.raises(BuildError, match=r"AnchorGenerator: strides \[.* must all be there and above 0"):
        AnchorGenerator(**options)
