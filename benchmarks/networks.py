"""The networks that the executor is measured on: features of MobileNetV2 and ResNet-50, and FCOS-EfficientNet-b0.

The first two take torchvision's modules with random weights; additions become modules, so that they can be captured,
and ReLU6 becomes ReLU. Outputs are int8, the last feature map.
"""

import torch
import torchvision
from torch import nn

import hatlite.engine  # noqa: F401 - registers every type
from hatlite import config
from hatlite.nn import Add, DeQuantStub, QuantStub
from hatlite.registry import OBJECT_REGISTRY

SIDE = 512


class _Residual(nn.Module):
    """``relu(inner(x) + shortcut(x))``, the ReLU where asked for."""

    def __init__(self, inner: nn.Module, shortcut: nn.Module | None, relu: bool) -> None:
        super().__init__()
        self.inner, self.shortcut = inner, shortcut or nn.Identity()
        self.add, self.relu = Add(), nn.ReLU() if relu else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.add(self.inner(x), self.shortcut(x)))


class Features(nn.Module):
    """Stages one after the other between the stubs."""

    def __init__(self, *stages: nn.Module) -> None:
        super().__init__()
        self.quant, self.stages, self.dequant = QuantStub(1 / 128), nn.Sequential(*stages), DeQuantStub("int8")

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"features": self.dequant(self.stages(self.quant(img)))}


def _plain_relu(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        setattr(module, name, nn.ReLU() if isinstance(child, nn.ReLU6) else _plain_relu(child))
    return module


def mobilenet_v2() -> nn.Module:
    blocks = _plain_relu(torchvision.models.mobilenet_v2(weights=None).features)
    stages = [
        _Residual(block.conv, None, relu=False) if getattr(block, "use_res_connect", False) else block
        for block in blocks
    ]
    return Features(*(getattr(stage, "conv", stage) for stage in stages))


def resnet50() -> nn.Module:
    network = torchvision.models.resnet50(weights=None)
    stages: list[nn.Module] = [network.conv1, network.bn1, nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    for block in (*network.layer1, *network.layer2, *network.layer3, *network.layer4):
        inner = (block.conv1, block.bn1, nn.ReLU(), block.conv2, block.bn2, nn.ReLU(), block.conv3, block.bn3)
        stages.append(_Residual(nn.Sequential(*inner), block.downsample, relu=True))
    return Features(*stages)


def fcos_efficientnet_b0() -> nn.Module:
    return OBJECT_REGISTRY.build(config.load("configs/detection/fcos/fcos_efficientnetb0_bccd.py")["model"]).network


NETWORKS = {"mobilenet_v2": mobilenet_v2, "resnet50": resnet50, "fcos_efficientnet_b0": fcos_efficientnet_b0}


def build(name: str) -> nn.Module:
    """Return the network `name` in eval mode, its batch norms with statistics of random images."""
    torch.manual_seed(0)
    network = NETWORKS[name]()
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(images(2, 128))
    return network.eval()


def images(count: int, side: int = SIDE) -> torch.Tensor:
    """Return (N, 3, side, side) float32, multiples of 1/128 as cameras give them."""
    return torch.randint(-128, 128, (count, 3, side, side)) / 128
