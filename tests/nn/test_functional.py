"""Add and Interpolate: values worked by hand, and the identity that integers rely on."""

import pytest
import torch
from torch.nn import functional as F

from hatlite.errors import BuildError
from hatlite.nn.functional import Add, Concat, Exp, Interpolate, Mul, Sub


def test_add():
    a, b = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[10.0, -2.0]]]])
    assert Add()(a, b).tolist() == [[[[11.0, 0.0]]]]


def test_sub_and_mul():
    a, b = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[10.0, -2.0]]]])
    assert Sub()(a, b).tolist() == [[[[-9.0, 4.0]]]]
    assert Mul()(a, b).tolist() == [[[[10.0, -4.0]]]]


def test_exp():
    assert Exp()(torch.tensor([[0.0, 1.0]])).tolist() == [[1.0, pytest.approx(2.7182817)]]


def test_concat():
    a, b = torch.ones(2, 1, 3, 4), torch.zeros(2, 2, 3, 4)
    assert Concat()(a, b, a).mean((0, 2, 3)).tolist() == [1.0, 0.0, 0.0, 1.0]


def test_bilinear_of_one_row_by_hand():
    x = torch.tensor([[[[0.0, 4.0]]]])
    # Half-pixel centres: the outer pixels repeat the edge, the inner ones lie a quarter of the way.
    assert Interpolate(2, "bilinear")(x).tolist() == [[[[0.0, 1.0, 3.0, 4.0], [0.0, 1.0, 3.0, 4.0]]]]


def test_nearest_repeats_pixels():
    x = torch.tensor([[[[1.0, 2.0]]]])
    assert Interpolate(3, "nearest")(x)[0, 0].tolist() == [[1.0] * 3 + [2.0] * 3] * 3


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4)])
def test_bilinear_is_nearest_then_one_two_one(size):
    x = torch.randint(-128, 128, (1, 2, *size), generator=torch.Generator().manual_seed(0)).float()
    doubled = F.pad(F.interpolate(x, scale_factor=2, mode="nearest"), (1, 1, 1, 1), mode="replicate")
    taps = torch.tensor([1.0, 2.0, 1.0])
    kernel = torch.outer(taps, taps).expand(2, 1, 3, 3)
    assert torch.equal(Interpolate(2, "bilinear")(x) * 16, F.conv2d(doubled, kernel, groups=2))


def test_refuses_what_has_no_integer_form():
    with pytest.raises(BuildError, match="takes mode nearest or bilinear and a whole factor, not cubic, 2"):
        Interpolate(2, "cubic")
    with pytest.raises(BuildError, match=r"a whole factor, not nearest, 1\.5"):
        Interpolate(1.5, "nearest")
    with pytest.raises(BuildError, match=r"bilinear doubles the size \(scale_factor=2\), it cannot take 4"):
        Interpolate(4, "bilinear")


def test_prints_its_settings():
    assert repr(Interpolate(2, "nearest")) == "Interpolate(scale_factor=2, mode='nearest')"
