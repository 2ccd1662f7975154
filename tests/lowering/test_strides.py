"""Strides of values: of every kind of step, and where sizes would say something else."""

import torch
from torch import nn

from hatlite.lowering import lower
from hatlite.march import get_march
from hatlite.nn import Add, DeQuantStub, Interpolate, QuantStub
from hatlite.quantization import QConfig, prepare


class Steps(nn.Module):
    """A value of every stride that one can come to."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant, self.add = QuantStub(1 / 128), DeQuantStub(), Add()
        self.conv, self.pool = nn.Conv2d(3, 4, 3, 2, 1), nn.MaxPool2d(3, 2, 1)
        self.bilinear, self.nearest = Interpolate(2, "bilinear"), Interpolate(4, "nearest")
        self.shuffle, self.average = nn.PixelShuffle(2), nn.AvgPool2d(2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        conv = self.conv(self.quant(x))
        pool = self.pool(conv)
        outputs = {
            "conv": conv,
            "pool": pool,
            "average": self.average(pool),
            "bilinear": self.bilinear(pool),
            "nearest": self.nearest(pool),
            "shuffle": self.shuffle(conv),
            "finer": self.nearest(conv),
            "slice": pool[:, :, ::3, ::3],
        }
        outputs["sum"] = self.add(conv, conv)
        return {name: self.dequant(value) for name, value in outputs.items()}


def test_the_steps_on_the_way_multiply() -> None:
    # Of 21 columns 11 are left, then 6: 21 / 6 is no whole number.
    img = torch.randint(-128, 128, (1, 3, 13, 21), generator=torch.Generator().manual_seed(0)) / 128
    torch.manual_seed(0)
    graph = prepare(Steps(), QConfig(), img)
    with torch.no_grad():
        graph(img)
    graph.finish_calibration()
    program = lower(graph, get_march("bayes-sim"))
    assert {port.name: port.stride for port in program.outputs} == {
        "conv": 2, "pool": 4, "average": 8, "bilinear": 2, "nearest": 1, "shuffle": 1, "finer": 1, "slice": 12, "sum": 2
    }  # fmt: skip
    assert [port.stride for port in program.inputs] == [1]
