"""Zeros around a picture: the same integers on all sides."""

import pytest
import torch
from operator_networks import assert_exact, calibrated, conv
from torch import nn

from hatlite.nn import Concat


@pytest.mark.parametrize("padding", [1, (0, 1, 2, 3)])
@pytest.mark.parametrize("before", [(), (nn.ReLU(),)])
def test_every_value_is_equal(padding: int | tuple, before: tuple) -> None:
    graph = calibrated(lambda: nn.Sequential(conv(3, 4, *before), nn.ZeroPad2d(padding), nn.Conv2d(4, 2, 3, 2)))
    site = graph.sites["inner_1"]
    assert (site.dtype, float(site.scale)) == (site.inputs[0].dtype, float(site.inputs[0].scale))
    assert_exact(graph)


class Grown(nn.Module):
    """A pad inside a group of scales."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.pad, self.concat = conv(3, 4, nn.ReLU()), conv(3, 2), nn.ZeroPad2d(1), Concat()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.concat(self.pad(self.first(x)), self.second(self.pad(x)))


def test_a_pad_passes_its_group_on() -> None:
    graph = calibrated(Grown)
    names = ("inner_first_0", "inner_pad", "inner_second_0", "inner_concat")
    assert len({(graph.sites[name].dtype, float(graph.sites[name].scale)) for name in names}) == 1
    assert_exact(graph)
