"""What the executor is measured on: features of MobileNetV2 and ResNet-50, FCOS-EfficientNet-b0, and GNetDet at 448.

Weights are random; MobileNetV2 has ReLU in place of ReLU6. Outputs of the first two are int8, the last feature map.
"""

import torch
from torch import nn

import hatlite.engine  # noqa: F401 - registers every type
from hatlite import config
from hatlite.models import MobileNetV2, ResNet
from hatlite.nn import DeQuantStub, QuantStub
from hatlite.registry import OBJECT_REGISTRY

SIDE = 512


class Features(nn.Module):
    """The last feature of a backbone between the stubs."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.quant, self.backbone, self.dequant = QuantStub(1 / 128), backbone, DeQuantStub("int8")
        for module in backbone.modules():  # residuals start silent, and a layer of zeros would be too easy to prove
            if isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.weight)

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"features": self.dequant(self.backbone(self.quant(img))[-1])}


def mobilenet_v2() -> nn.Module:
    return Features(MobileNetV2())


def resnet50() -> nn.Module:
    return Features(ResNet(50))


def fcos_efficientnet_b0() -> nn.Module:
    return OBJECT_REGISTRY.build(config.load("configs/detection/fcos/fcos_efficientnetb0_bccd.py")["model"]).network


def gnetdet_448() -> nn.Module:
    return OBJECT_REGISTRY.build(config.load("configs/detection/gnetdet/gnetdet_448_voc.py")["model"]).network


NETWORKS = {
    "mobilenet_v2": mobilenet_v2,
    "resnet50": resnet50,
    "fcos_efficientnet_b0": fcos_efficientnet_b0,
    "gnetdet_448": gnetdet_448,
}


def build(name: str) -> nn.Module:
    """Return the network `name` in eval mode, its batch norms with statistics of random images."""
    torch.manual_seed(0)
    network = NETWORKS[name]()
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return network.eval()
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(images(2, 128))
    return network.eval()


def pixels(count: int) -> torch.Tensor:
    """Return (N, 3, 448, 448) float32, pixels of five bits."""
    return torch.randint(0, 32, (count, 3, 448, 448)).float()


def images(count: int, side: int = SIDE) -> torch.Tensor:
    """Return (N, 3, side, side) float32, multiples of 1/128 as cameras give them."""
    return torch.randint(-128, 128, (count, 3, side, side)) / 128
