"""Torchvision's classifiers as backbones: the same numbers, the promised features, integers without a difference."""

import pytest
import torch
from networks import disturbed, images
from operator_networks import SIZE, Stubbed, assert_exact, calibrated, differing
from torch import nn
from torchvision import models

from hatlite.analysis import check_network
from hatlite.errors import CheckpointError
from hatlite.march import get_march
from hatlite.models.backbones import MobileNetV2, RegNet, ResNet
from hatlite.quantization import QConfig

MAKERS = {
    "resnet18": lambda **top: ResNet(18, **top),
    "resnet50": lambda **top: ResNet(50, **top),
    "mobilenet_v2": lambda **top: MobileNetV2(activation="relu6", **top),
    "regnet_x_800mf": lambda **top: RegNet("x_800mf", **top),
}
SMALL = {
    "resnet18": lambda: ResNet(18),
    "mobilenet_v2": lambda: MobileNetV2(width_mult=0.25),
    "regnet_x_400mf": lambda: RegNet("x_400mf"),
}
LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in ("resnet50", "mobilenet_v2", "regnet_x_800mf")]


class Named(nn.Module):
    """A backbone whose features have names; no batch norm is silent, so that residuals say something."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = disturbed(backbone)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.0)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {f"feature_{level}": value for level, value in enumerate(self.backbone(x))}


@pytest.mark.parametrize("name", MAKERS)
def test_every_name_and_shape_has_its_counterpart(name: str) -> None:
    theirs, ours = getattr(models, name)(weights=None), MAKERS[name](include_top=True)
    renamed = {ours._renamed(entry): value.shape for entry, value in theirs.state_dict().items()}
    assert len(renamed) == len(theirs.state_dict())
    assert renamed == {entry: value.shape for entry, value in ours.state_dict().items()}


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_weights_give_the_same_logits(name: str) -> None:
    theirs, ours = disturbed(getattr(models, name)(weights=None)), MAKERS[name](include_top=True).eval()
    img = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert not torch.equal(ours(img), theirs(img))
        assert ours.load_torchvision(theirs.state_dict()) == []
        assert torch.equal(ours(img), theirs(img))


@pytest.mark.parametrize("name", MAKERS)
def test_features_have_the_promised_shapes(name: str) -> None:
    backbone = MAKERS[name]().eval().to("meta")
    features = backbone(torch.empty(2, 3, 64, 96, device="meta"))
    assert list(backbone.stride2channels) == [2, 4, 8, 16, 32]
    shapes = [(2, channels, 64 // stride, 96 // stride) for stride, channels in backbone.stride2channels.items()]
    assert [tuple(feature.shape) for feature in features] == shapes


@pytest.mark.parametrize(
    ("name", "left"),
    [("resnet18", "fc."), ("mobilenet_v2", ("features.18.", "classifier.")), ("regnet_x_800mf", "fc.")],
)
def test_without_the_classifier_all_others_are_taken(name: str, left: str | tuple[str, ...]) -> None:
    theirs, ours = disturbed(getattr(models, name)(weights=None)), MAKERS[name]()
    surplus = ours.load_torchvision(theirs.state_dict())
    assert surplus == [entry for entry in theirs.state_dict() if entry.startswith(left)]
    own = ours.state_dict()
    taken = {entry: value for entry, value in theirs.state_dict().items() if entry not in surplus}
    assert len(taken) == len(own)
    assert all(torch.equal(own[ours._renamed(entry)], value) for entry, value in taken.items())


@pytest.mark.parametrize(
    ("name", "other", "problem"),
    [
        ("resnet18", "mobilenet_v2", r"torchvision's resnet18: it lacks stages\.conv1\.weight, .* and \d+ more"),
        ("mobilenet_v2", "resnet18", r"torchvision's mobilenet_v2: it lacks stages\.0\.0\.weight"),
        ("resnet50", "resnet18", r"torchvision's resnet50: it lacks stages\.layer1\.0\.conv3\.weight"),
    ],
)
def test_weights_of_another_network_are_refused_in_a_sentence(name: str, other: str, problem: str) -> None:
    with torch.device("meta"):
        ours, given = MAKERS[name](), getattr(models, other)(weights=None).state_dict()
    with pytest.raises(CheckpointError, match=rf"^x\.pth does not fit {problem}") as told:
        ours.load_torchvision(given, "x.pth")
    assert "Name a file of that network, or remove model['pretrained']." in str(told.value)


def test_bn_kwargs_reach_every_batch_norm() -> None:
    with torch.device("meta"):
        for backbone in (ResNet(18, bn_kwargs={"momentum": 0.5}), MobileNetV2(bn_kwargs={"momentum": 0.5})):
            assert {m.momentum for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)} == {0.5}


@pytest.mark.parametrize("name", SMALL)
def test_residuals_start_as_the_identity(name: str) -> None:
    network = SMALL[name]()
    silent = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d) and not module.weight.any()]
    adding = [module for module in network.modules() if type(module).__name__ == "Add"]
    assert len(silent) == len(adding) > 0


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_quantised_and_lowered_every_value_is_equal(name: str) -> None:
    assert differing(calibrated(lambda: Named(SMALL[name]())), images(1, *SIZE, seed=5)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_whole_networks_stay_exact_behind_training(name: str) -> None:
    assert_exact(calibrated(lambda: Named(MAKERS[name]())))


@pytest.mark.parametrize("name", ["resnet18", *LARGE])
def test_all_operators_run_on_the_march(name: str) -> None:
    found = check_network(Stubbed(Named(MAKERS[name]())), QConfig(), images(1, 32, 32), get_march("bayes-sim"))
    assert not found.problems
    assert {row.operator for row in found.operators} <= {"conv2d", "add", "max_pool2d", "lut"}
