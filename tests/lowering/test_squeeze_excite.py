"""Blocks of EfficientNet as published, with swish and squeeze and excitation: the same integers on all sides."""

import pytest
from operator_networks import assert_exact, calibrated, conv
from torch import nn

from hatlite.models.backbones.mbconv import MBConv
from hatlite.quantization.sites import AvgPoolSite, LutSite, MulSite


@pytest.mark.parametrize("activation", ["relu", "relu6", "swish"])
def test_every_value_is_equal(activation: str) -> None:
    block = {"activation": activation, "use_se_block": True, "expand_ratio": 2}
    graph = calibrated(lambda: nn.Sequential(conv(), MBConv(4, 4, **block), MBConv(4, 6, stride=2, **block)))
    kinds = [type(site) for site in graph.sites.values()]
    assert (kinds.count(AvgPoolSite), kinds.count(MulSite)) == (2, 2)
    assert kinds.count(LutSite) == 2 + 6 * (activation != "relu")
    assert_exact(graph)
