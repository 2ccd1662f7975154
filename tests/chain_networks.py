"""A chain of convolutions as chips without scales take it."""

import torch
from torch import nn

from hatlite.nn import DeQuantStub, QuantStub


class ChainNetwork(nn.Module):
    """Three convolutions, each with a ReLU, one with a pool behind it; images are 0…31, results about their brightness.

    Args:
        batch_norm: Behind the first convolution.
        dtype: Of the output.
    """

    def __init__(self, batch_norm: bool = False, dtype: str = "int8") -> None:
        super().__init__()
        self.quant = QuantStub(scale=1.0)
        self.conv0, self.relu0, self.pool0 = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, 2)
        self.bn0 = nn.BatchNorm2d(8) if batch_norm else nn.Identity()
        self.conv1, self.relu1 = nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        self.conv2, self.relu2 = nn.Conv2d(8, 2, 3, padding=1), nn.ReLU()
        self.dequant = DeQuantStub(dtype, channels=2)
        generator = torch.Generator().manual_seed(1)
        for conv in (self.conv0, self.conv1, self.conv2):
            nn.init.normal_(conv.weight, 0.006, 0.024, generator)
            nn.init.constant_(conv.bias, 0.1)

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.pool0(self.relu0(self.bn0(self.conv0(self.quant(img)))))
        return {"cls_logits_s1": self.dequant(self.relu2(self.conv2(self.relu1(self.conv1(x)))))}


def five_bit_images(count: int, seed: int = 0, size: int = 12) -> torch.Tensor:
    """Return (count, 3, size, size) float32 integers 0…31."""
    return torch.randint(0, 32, (count, 3, size, size), generator=torch.Generator().manual_seed(seed)).float()
