"""Plain chains of 3×3 convolutions on gti5801, with scales of one, as the gain edit leaves them."""

import torch
from torch import nn

from hatlite.nn import DeQuantStub, QuantStub
from hatlite.quantization import FakeQuantGraph, QConfig, prepare

__all__ = ["Chain", "chain_qconfig", "pixels", "unit_chain"]


class Chain(nn.Module):
    """Convolutions with bias and ReLU, pooled behind the first one; the last convolution is the output."""

    def __init__(self, widths: tuple[int, ...], seed: int = 0, wide_output: bool = False, size: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.quant = QuantStub(1.0)
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in zip((3, *widths), widths))
        self.relus = nn.ModuleList(nn.ReLU() for _ in widths)
        self.pool = nn.MaxPool2d(2, 2)
        self.dequant = DeQuantStub("int16" if wide_output else "int8", channels=widths[-1])
        for conv in self.convs:
            nn.init.normal_(conv.weight, 0.02, size / conv.in_channels**0.5 / 3)
            nn.init.normal_(conv.bias, 0.0, 3.0)

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.quant(img)
        for index, (conv, relu) in enumerate(zip(self.convs, self.relus)):
            x = relu(conv(x))
            x = self.pool(x) if index == 0 and len(self.convs) > 1 else x
        return {"y": self.dequant(x)}


def chain_qconfig(network: Chain, dtypes: tuple[str, ...] = (), **settings: object) -> QConfig:
    """Return a qconfig that gives every result scale 1, the output of 10 bits 1/32, and the last weights `dtypes`."""
    count = len(network.convs)
    kinds = ("kernel3",) * (count - len(dtypes)) + dtypes
    rules = {f"convs.{i}": dict(scale=1.0, weight_dtype=kind) for i, kind in enumerate(kinds)}
    if network.dequant.dtype == "int16":
        rules[f"convs.{count - 1}"]["scale"] = 1 / 32
    return QConfig(march="gti5801", rules=rules, **settings)


def pixels(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Return (N, 3, H, W) integers of 0…31 as float32; a third of them are one of both ends."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 32, (count, 3, height, width), generator=generator)
    ends = 31 * torch.randint(0, 2, values.shape, generator=generator)
    return torch.where(torch.rand(values.shape, generator=generator) < 1 / 3, ends, values).float()


def unit_chain(network: Chain, size: tuple[int, int], qconfig: QConfig | None = None) -> FakeQuantGraph:
    """Return the graph of `network` in integer mode."""
    graph = prepare(network, qconfig or chain_qconfig(network), pixels(1, *size))
    with torch.no_grad():
        graph(pixels(2, *size, seed=1))
    graph.finish_calibration()
    return graph
