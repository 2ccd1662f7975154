"""The tree and its totals."""

import torch
from torch import nn

from hatlite.analysis import count, counts_table, counts_to_dict


class Head(nn.Module):
    """A branch that runs twice, and a part with nothing to count."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(1000, 1000, 1), nn.ReLU())
        self.nothing = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.nothing(self.branch(self.branch(x)))


def counted() -> nn.Module:
    with torch.no_grad():
        return count(nn.Sequential(nn.Conv2d(3, 1000, 1, bias=False), Head()), (1, 3, 10, 20))


def test_every_module_stands_below_its_parent_with_its_sum() -> None:
    assert counts_table(counted(), depth=3).splitlines() == [
        "module      type        parameters  GMACs (convolutions)  GMACs (mmcv)",
        "network     Sequential   1,004,000                0.4006        0.4014",
        "  0         Conv2d           3,000                0.0006        0.0006",
        "  1         Head         1,001,000                0.4000        0.4008",
        "    branch  Sequential   1,001,000                0.4000        0.4008",
        "      0     Conv2d       1,001,000                0.4000        0.4004",
        "      1     ReLU                 0                0.0000        0.0004",
        "",
        "GMACs: 0.40, convolutions and linear layers only",
        "GMACs: 0.40, mmcv's rule: convolution 0.4006, bias 0.0004, activation 0.0004",
        "Parameters: 1.00 M (1,004,000)",
    ]


def test_depth_limits_the_tree_and_changes_no_number() -> None:
    whole, short = (counts_table(counted(), depth).splitlines() for depth in (3, 1))
    assert [line.split() for line in short[:4]] == [line.split() for line in whole[:4]]
    assert short[4:] == whole[7:]
    assert counts_table(counted(), depth=0).splitlines() == whole[8:]


def test_json_has_whole_numbers() -> None:
    found = counts_to_dict(counted())
    assert found["input_shape"] == [1, 3, 10, 20]
    assert found["macs"] == {"convolutions": 400_600_000, "mmcv": 401_400_000}
    assert found["operations"] == {"convolution": 400_600_000, "bias": 400_000, "activation": 400_000}
    assert [row["path"] for row in found["modules"]] == ["", "0", "1", "1.branch", "1.branch.0", "1.branch.1"]
    assert found["modules"][0]["parameters"] == found["parameters"] == 1_004_000
