"""SSDVGG: torchvision's weights, thinned fully connected layers, and features."""

import pytest
import torch
from torch import nn
from torchvision import models

from hatlite.errors import CheckpointError
from hatlite.models.backbones.ssd_vgg import SSDVGG


@pytest.fixture(name="weights", scope="module")
def weights_fixture():
    """Entries of torchvision's vgg16, most of them expanded from one number."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in models.vgg16(weights=None).state_dict().items()}
    return {name: torch.full((1,), float(number)).expand(shape) for number, (name, shape) in enumerate(shapes.items())}


def test_two_features():
    with torch.device("meta"):
        backbone = SSDVGG()
        features = backbone(torch.empty(1, 3, 512, 512))
    assert [tuple(x.shape) for x in features] == [(1, 512, 64, 64), (1, 1024, 32, 32)]
    assert backbone.stride2channels == {8: 512, 16: 1024}
    convs = [layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convs) == 15
    assert (convs[13].dilation, convs[13].padding) == ((6, 6), (6, 6))


def test_weights_of_torchvision(weights):
    backbone = SSDVGG()
    window = torch.arange(4096.0)[:, None, None, None] * 100 + torch.arange(49.0).reshape(7, 7)
    special = {
        "classifier.0.weight": window.expand(4096, 512, 7, 7).reshape(4096, -1),
        "classifier.3.bias": torch.arange(4096.0),
    }
    left = backbone.load_torchvision({**weights, **special})
    assert left == [name for name in weights if name.startswith("classifier.")]
    assert torch.equal(backbone.stages[28].weight, weights["features.28.weight"])
    # Every fourth output; of the window rows and columns 0, 3 and 6.
    assert backbone.stages.fc6.weight[2, 5].tolist() == [[800, 803, 806], [821, 824, 827], [842, 845, 848]]
    assert torch.equal(backbone.stages.fc6.bias, weights["classifier.0.bias"][:1024])
    assert backbone.stages.fc7.bias[:3].tolist() == [0, 4, 8]
    assert torch.equal(backbone.stages.fc7.weight[:, :, 0, 0], weights["classifier.3.weight"][:1024, :1024])


def test_weights_of_another_network_are_refused(weights):
    missing = {name: value for name, value in weights.items() if not name.startswith("classifier.")}
    with pytest.raises(
        CheckpointError, match=r"^x does not fit torchvision's vgg16: it lacks stages.fc6.weight, stages"
    ):
        SSDVGG().load_torchvision(missing, "x")
