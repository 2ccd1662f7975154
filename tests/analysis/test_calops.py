"""Work, counted two ways."""

import pytest
import torch
from torch import nn

from hatlite.analysis import count, parse_shape
from hatlite.errors import ConfigError
from hatlite.nn import Add, DeQuantStub, QuantStub


class Network(nn.Module):
    """A stem, and a head that runs on two levels."""

    def __init__(self) -> None:
        super().__init__()
        self.stub = QuantStub(1 / 128)
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.add = Add()
        self.head = nn.Conv2d(8, 4, 1)
        self.out = DeQuantStub()

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        fine = self.stem(self.stub(img))
        fine = self.add(fine, self.depthwise(fine))
        return {"a_s2": self.out(self.head(fine)), "a_s4": self.out(self.head(self.pool(fine)))}


@pytest.mark.parametrize("method", ["hook", "fx"])
def test_by_hand(method: str) -> None:
    counts = count(Network(), (1, 3, 8, 8), method)
    stem, depthwise = 4 * 4 * 8 * 27, 4 * 4 * 8 * 9
    assert counts.layers == (("stem", stem), ("depthwise", depthwise), ("head", 16 * 4 * 8), ("head", 4 * 4 * 8))
    assert counts.macs == stem + depthwise + 512 + 128
    assert counts.by_part() == {"stem": stem, "depthwise": depthwise, "head": 640}
    assert counts.parameters == 8 * 27 + 8 + 8 * 9 + 4 * 8 + 4


def test_linear_layers_count() -> None:
    assert count(nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), (2, 3, 2, 2)).macs == 2 * 12 * 5


def test_the_network_is_left_as_it_was() -> None:
    network = Network()
    network.train()
    count(network, (1, 3, 8, 8))
    assert network.training
    assert not network.stem._forward_hooks


def test_a_shape_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^The network cannot take an input of shape \(1, 4, 8, 8\): .*channels"):
        count(Network(), (1, 4, 8, 8))


def test_the_multiple_that_the_sides_must_have_is_named() -> None:
    class Strided(nn.Conv2d):
        output_strides = {"cls_logits_s8": 8}

        def forward(self, img: torch.Tensor) -> torch.Tensor:
            return super().forward(img) + torch.zeros(8, 8)

    with pytest.raises(ConfigError, match=r"\n  Height and width must be multiples of 8\.$"):
        count(Strided(3, 4, 1), (1, 3, 9, 9))


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^method is 'jit'; expected one of hook, fx\.$"):
        count(Network(), (1, 3, 8, 8), "jit")


def test_shapes_are_read() -> None:
    assert parse_shape("1, 3,512,640") == (1, 3, 512, 640)


@pytest.mark.parametrize("text", ["1,3,512", "1,3,0,512", "1,3,-8,8", "a,b,c,d", ""])
def test_a_malformed_shape_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected four whole numbers N,C,H,W above 0, such as 1,3,512,512\."):
        parse_shape(text)


class Decoder(nn.Module):
    """A transposed convolution on half of the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stub, self.stem = QuantStub(1 / 128), nn.Conv2d(3, 8, 1)
        self.up, self.out = nn.ConvTranspose2d(4, 6, 4, 2, 1, groups=2), DeQuantStub()

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": self.out(self.up(self.stem(self.stub(img))[:, :4]))}


@pytest.mark.parametrize("method", ["hook", "fx"])
def test_every_input_of_a_transposed_convolution_meets_every_tap(method: str) -> None:
    counts = count(Decoder(), (1, 3, 5, 4), method)
    assert counts.layers == (("stem", 20 * 8 * 3), ("up", 20 * 4 * 3 * 16))  # 4 inputs, 6 / 2 outputs each, 4 × 4 taps
