"""Work, counted two ways by two rules."""

import pytest
import torch
from operator_networks import Stubbed
from torch import nn
from torch.nn import functional
from torchvision import models
from torchvision.models import resnet

from hatlite.analysis import count, parse_shape
from hatlite.errors import ConfigError
from hatlite.models.backbones import MobileNetV2, RegNet, ResNet
from hatlite.models.backbones.resnet import _BasicBlock
from hatlite.nn import Add, DeQuantStub, Interpolate, QuantStub, conv_bn


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
    assert counts.work == (
        ("stem", "convolution", stem),
        ("stem", "bias", 4 * 4 * 8),
        ("depthwise", "convolution", depthwise),
        ("head", "convolution", 16 * 4 * 8),
        ("head", "bias", 16 * 4),
        ("pool", "pooling", 16 * 8),
        ("head", "convolution", 4 * 4 * 8),
        ("head", "bias", 4 * 4),
    )
    assert counts.total() == stem + depthwise + 512 + 128
    assert counts.total("mmcv") == counts.total() + 128 + 64 + 128 + 16
    assert counts.parameters == 8 * 27 + 8 + 8 * 9 + 4 * 8 + 4


def test_linear_layers_count() -> None:
    counts = count(nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), (2, 3, 2, 2))
    assert counts.total() == counts.total("mmcv") == 2 * 12 * 5  # without the bias: that is the rule


class Zoo(nn.Module):
    """One of each kind, and what no rule counts."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.plain = nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False)
        self.relu6, self.leaky = nn.ReLU6(), nn.LeakyReLU()
        self.max_pool, self.mean = nn.MaxPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(1)
        self.upsample = nn.Upsample(scale_factor=2)
        self.uncounted = nn.Sequential(nn.GroupNorm(3, 3), nn.Softmax(1), Interpolate(2), nn.Sigmoid())

    def forward(self, img: torch.Tensor) -> torch.Tensor:
        x = self.leaky(self.relu6(self.plain(self.norm(img))))
        x = torch.cat([x, functional.interpolate(x, scale_factor=1)])[:1] + x
        return self.mean(self.uncounted(self.upsample(self.max_pool(x))))


def test_kinds_by_hand() -> None:
    counts = count(Zoo(), (1, 3, 8, 6))
    assert counts.by_kind() == {
        "batch norm": (2 + 1) * 3 * 48,
        "activation": 2 * 3 * 48,
        "pooling": 3 * 48 + 3 * 16 * 12,  # of the 4×3 that the max-pool leaves, upsampled and resized
        "upsampling": 3 * 8 * 6,
    }
    assert counts.total() == 0
    assert counts.total("mmcv") == sum(counts.by_kind().values())


@pytest.mark.parametrize("name", ["ResNet18", "MobileNet_V2", "RegNet_X_400MF", "SqueezeNet1_1"])
def test_torchvision_publishes_the_same_numbers(name: str) -> None:
    meta = models.get_model_weights(name.lower()).DEFAULT.meta
    counts = count(models.get_model(name.lower()), (1, 3, 224, 224))
    assert counts.parameters == meta["num_params"]
    assert counts.total() / 1e9 == pytest.approx(meta["_ops"], abs=0.0006)


@pytest.mark.parametrize("method", ["hook", "fx"])
def test_a_residual_block_by_the_rule_of_mmcv(method: str) -> None:
    block = _BasicBlock(resnet.BasicBlock(4, 6, 2, conv_bn(4, 6, stride=2)))
    counts = count(Stubbed(block), (1, 4, 8, 8), method)
    cells = 4 * 4 * 6
    convolutions = cells * (9 * 4 + 9 * 6 + 4)
    assert counts.total() == convolutions
    assert counts.total("mmcv") == convolutions + 3 * 2 * cells + 2 * cells  # three batch norms, one ReLU twice


@pytest.mark.parametrize(
    ("make", "gmacs"), [(MobileNetV2, "1.5605"), (RegNet, "4.2532"), (ResNet, "21.5237")], ids=["mbv2", "regnet", "r50"]
)
def test_backbones_cost_what_mmdetection_printed_at_512(make: type[nn.Module], gmacs: str) -> None:
    assert f"{count(make().to('meta'), (1, 3, 512, 512)).total('mmcv') / 1e9:.4f}" == gmacs


def test_shared_weights_are_counted_once_and_their_calls_all() -> None:
    network = nn.Sequential(*[nn.Conv2d(3, 3, 1)] * 3)
    counts = count(network, (1, 3, 2, 2))
    assert counts.total() == 3 * 4 * 9
    assert counts.parameters == 12


def test_the_network_is_left_as_it_was() -> None:
    network = Network()
    network.train()
    count(network, (1, 3, 8, 8))
    assert network.training
    assert not network.stem._forward_hooks


def test_a_shape_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^The network cannot take an input of shape \(1, 4, 8, 8\): .*channels"):
        count(Network(), (1, 4, 8, 8))


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
    stem, up = 20 * 8 * 3, 20 * 4 * 3 * 16  # 4 inputs, 6 / 2 outputs each, 4 × 4 taps
    assert [work[1:] for work in counts.work] == [
        ("convolution", stem),
        ("bias", 20 * 8),
        ("convolution", up),
        ("bias", 10 * 8 * 6),
    ]
