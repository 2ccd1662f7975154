"""Networks whose scales training moves, and what their sites round."""

import numpy as np
import torch
from operator_networks import conv
from torch import nn

from hatlite.nn import Add, Concat, Interpolate, Mul, Sub
from hatlite.quantization.sites import AddSite, ConvSite, InputSite, LutSite, Site


class Everything(nn.Module):
    """Every kind of site that has a scale to learn."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(3, 4, nn.ReLU()), conv(4, 4)
        self.gate, self.mul, self.add, self.sub, self.relu = nn.Sigmoid(), Mul(), Add(), Sub(), nn.ReLU()
        self.mean, self.up, self.shrink, self.last = nn.AvgPool2d(3, 1, 1), Interpolate(), nn.MaxPool2d(2), conv(4, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        a = self.first(x)
        b = self.second(a)
        c = self.add(self.mul(a, self.gate(b)), b)
        small = self.shrink(self.sub(c, self.mean(a)))
        return {"y": self.last(self.relu(small)), "z": self.up(small)}


def real_before_rounding(site: Site, inputs: tuple[torch.Tensor, ...]) -> np.ndarray:
    """Return what `site` rounds, as real values in float64, from its integers alone."""
    scale = float(site.scale)
    if isinstance(site, InputSite):
        return inputs[0].double().numpy()
    if isinstance(site, LutSite):
        return site.functions[0](inputs[0].double() * float(site.inputs[0].scale)).numpy()
    m = torch.ldexp(site.multiplier.double(), -site.shift)
    if isinstance(site, ConvSite):
        weight, bias = site.integers()
        acc = nn.functional.conv2d(inputs[0].double(), weight.double(), bias, *site.constants().geometry)
        return (acc * m.reshape(1, -1, 1, 1) * scale).numpy()
    if isinstance(site, AddSite):
        first, second = (q.double() * sign * factor for q, sign, factor in zip(inputs, site.SIGNS, m, strict=True))
        return ((first + second) * scale).numpy()
    acc = inputs[0].double() * inputs[1].double() if len(inputs) == 2 else site.accumulate(inputs[0]).double()
    return (acc * m * scale).numpy()


class Tied(nn.Module):
    """A group with a sum in it, and a sum outside that reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.add, self.concat, self.last = conv(), conv(), Add(), Concat(), conv(8, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        a, b = self.a(x), self.b(x)
        both = self.add(a, b)
        return {"y": self.last(self.concat(both, b)), "z": self.add(both, a)}
