"""Which convolutions are the first and the last of a network."""

import pytest
import torch
from networks import images
from operator_networks import SIZE, Stubbed, conv
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.nn import Add, Concat, Interpolate
from hatlite.quantization import QConfig, check_rules, prepare

WIDE = QConfig(first_and_last="int16", march="tidl")


class Focus(nn.Module):
    """Every other pixel as channels; two branches, of which one ends in a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.concat, self.add, self.up = Concat(), Add(), Interpolate(2, "nearest")
        self.first, self.also_first, self.inner = conv(6, 4), nn.Conv2d(3, 4, 1, 2), conv(4, 4)
        self.last, self.summed = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        a = self.first(self.concat(x[:, :, ::2, ::2], x[:, :, 1::2, ::2]))
        b = self.inner(self.also_first(x[:, :, :-1]))
        return {"last": self.up(self.last(a)), "sum": self.add(a, self.summed(b))}


def test_only_what_moves_values_may_lie_between() -> None:
    torch.manual_seed(0)
    graph = prepare(Stubbed(Focus()), WIDE, images(1, SIZE[0] - 1, SIZE[1]))
    found = {s.path.removeprefix("inner.") for s in graph.sites.values() if s.arithmetic.weight_dtypes == ("int16",)}
    assert found == {"first.0", "also_first", "last"}, "a sum is no convolution, and what it reads does not leave"


@pytest.mark.parametrize(
    ("inner", "where"),
    [
        (lambda: nn.Sequential(conv(3, 4), nn.Sigmoid()), "in front of an output"),
        (lambda: nn.Sequential(nn.AvgPool2d(2), conv(3, 4)), "behind the image"),
    ],
)
def test_a_network_without_them_is_told_what_to_write(inner, where: str) -> None:
    text = rf"\['first_and_last'\] finds no convolution right {where}; leave it out and name the layers that shall have"
    with pytest.raises(QuantizationError, match=text):
        check_rules(Stubbed(inner()), WIDE)


def test_a_table_behind_the_first_layer_says_how_to_go_on() -> None:
    inner = nn.Sequential(nn.Conv2d(3, 4, 1), nn.SiLU(), nn.Conv2d(4, 2, 1))
    with pytest.raises(Exception, match="cannot take int16; give its input, inner.0, dtype int8 in the rules"):
        prepare(Stubbed(inner), WIDE, images(1, *SIZE))
    rules = {"inner.0": dict(dtype="int8")}
    graph = prepare(Stubbed(inner), QConfig(first_and_last="int16", rules=rules, march="tidl"), images(1, *SIZE))
    assert (graph.sites["inner_0"].dtype, graph.sites["inner_0"].weight_dtype) == ("int8", "int16")
