"""The network on which exactness is shown: everything that has ever gone wrong in one place."""

import torch
from torch import nn

from hatlite.nn import Add, DeQuantStub, Interpolate, QuantStub

LEVELS = 5
SIGNED_MARCHES = ("bayes-sim", "tidl")
"""Marches on which every operator runs; others have unsigned values only."""


class Block(nn.Module):
    """Inverted residual: 1x1, depthwise 3x3 (dilated once), 1x1, add."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(3 * channels)
        self.depthwise = nn.Conv2d(
            3 * channels, 3 * channels, 3, padding=dilation, dilation=dilation, groups=3 * channels, bias=False
        )
        self.bn2 = nn.BatchNorm2d(3 * channels)
        self.project = nn.Conv2d(3 * channels, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.add = Add()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.bn1(self.expand(x)))
        y = self.relu(self.bn2(self.depthwise(y)))
        return self.add(x, self.bn3(self.project(y)))


class Backbone(nn.Module):
    """Stem and five levels, each half the size of the one before; odd sizes stay odd through padding."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.blocks = nn.ModuleList(Block(channels, 1 + level % 2) for level in range(LEVELS))
        self.pool = nn.MaxPool2d(3, 2, 1)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.relu(self.bn(self.stem(x)))
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x)
            x = self.pool(x)
        return features


class Neck(nn.Module):
    """A sum with a pooled and re-enlarged copy, then a lone ReLU on one level."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.MaxPool2d(2, 2)
        self.up = Interpolate(2, "bilinear")
        self.nearest = Interpolate(2, "nearest")
        self.add = Add()
        self.relu = nn.ReLU()

    def forward(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        first = self.relu(self.add(features[0], self.up(self.down(features[0]))))
        second = self.relu(self.up(self.nearest(self.down(self.down(features[1])))))
        return [first, second, *features[2:]]


class Head(nn.Module):
    """One tower shared by five levels, a batch norm for each, outputs in int16, raw int32 and int8."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.tower = nn.Conv2d(channels, channels, 3, padding=1)
        self.bns = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(LEVELS))
        self.relu = nn.ReLU()
        self.cls = nn.Conv2d(channels, 4, 3, padding=1)
        self.box = nn.Conv2d(channels, 4, 1)
        self.centerness = nn.Conv2d(channels, 1, 1)
        self.dequant16, self.dequant32, self.dequant8 = DeQuantStub("int16"), DeQuantStub("int32"), DeQuantStub("int8")

    def forward(self, features: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        outputs = {}
        for level, (x, bn) in enumerate(zip(features, self.bns, strict=True)):
            y = self.relu(bn(self.tower(x)))
            outputs[f"cls_s{2 << level}"] = self.dequant16(self.cls(y))
            outputs[f"box_s{2 << level}"] = self.dequant32(self.relu(self.box(y)))
            outputs[f"centerness_s{2 << level}"] = self.dequant8(self.centerness(y))
        return outputs


class ProofNetwork(nn.Module):
    """`img (N, 3, H, W)` → fifteen outputs; weights, batch norms and their statistics drawn from `seed`."""

    def __init__(self, seed: int = 0, channels: int = 8) -> None:
        super().__init__()
        self.quant = QuantStub(scale=1 / 128)
        self.backbone = Backbone(channels)
        self.neck = Neck()
        self.head = Head(channels)
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
                _draw(module, generator)
        with torch.no_grad():  # dead channels: batch norm killed one, the other has no weights at all
            self.backbone.bn.weight[1] = self.backbone.bn.bias[1] = 0.0
            self.head.tower.weight[2] = self.head.tower.bias[2] = 0.0
            self.head.bns[3].bias[2] = self.head.bns[3].running_mean[2] = 0.0

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.head(self.neck(self.backbone(self.quant(img))))


def _draw(module: nn.Module, generator: torch.Generator) -> None:
    with torch.no_grad():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            if module.bias is not None:
                module.bias.normal_(0.0, 0.5, generator=generator)
            return
        module.weight.normal_(0.0, 1.0, generator=generator)  # about half of the gammas are negative
        module.bias.normal_(0.0, 0.5, generator=generator)
        module.running_mean.normal_(0.0, 0.3, generator=generator)
        module.running_var.uniform_(0.2, 2.0, generator=generator)


def images(count: int, height: int, width: int, seed: int = 0, full_scale: bool = False) -> torch.Tensor:
    """Return (count, 3, height, width) float32 on the grid of 1/128, −1 … 127/128; `full_scale` draws only the ends."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 3, height, width), generator=generator)
    if full_scale:
        pixels = (pixels > 127).long() * 255
    return (pixels - 128).float() / 128


def disturbed(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every entry values of its own, so that none can stand for another."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                value.uniform_(0.5, 1.5) if name.endswith("running_var") else value.mul_(0.9).add_(
                    0.02 * torch.randn_like(value)
                )
    return model.eval()
