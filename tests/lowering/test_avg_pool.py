"""Average pools: a depthwise convolution with weights 1, the same integers on all sides."""

import numpy as np
import pytest
import torch
from networks import SIGNED_MARCHES, images
from operator_networks import SIZE, assert_exact, calibrated, conv, lowered
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.ops.integer.engine_rules import CONV_RULES
from hatlite.program import Conv2d
from hatlite.quantization import QConfig, scale_moves

POOLS = {
    "plain": lambda: nn.AvgPool2d(2),
    "padded": lambda: nn.AvgPool2d((3, 5), stride=(1, 2), padding=(1, 2)),
    "global": lambda: nn.AdaptiveAvgPool2d(1),
    "pair": lambda: nn.AdaptiveAvgPool2d((1, 1)),
}


@pytest.mark.parametrize("march", SIGNED_MARCHES)
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("before", [(), (nn.ReLU(),)])
def test_every_value_is_equal(march: str, pool: str, before: tuple) -> None:
    make = lambda: nn.Sequential(conv(3, 4, *before), POOLS[pool](), nn.Conv2d(4, 3, 1))  # noqa: E731
    assert_exact(calibrated(make, qconfig=QConfig(march=march)))


@pytest.mark.parametrize("march", SIGNED_MARCHES)
@pytest.mark.parametrize("pool", ["padded", "global"])
def test_every_value_is_equal_in_int16(march: str, pool: str) -> None:
    make = lambda: nn.Sequential(conv(3, 4), POOLS[pool](), nn.Conv2d(4, 3, 1))  # noqa: E731
    assert_exact(calibrated(make, qconfig=QConfig(activation=dict(dtype="int16"), march=march)))


def test_where_nothing_is_multiplied_it_has_the_weight_that_stands_for_a_share() -> None:
    graph = calibrated(lambda: nn.Sequential(conv(3, 4, nn.ReLU()), POOLS["padded"]()), qconfig=QConfig(march="tidl"))
    op = lowered(graph).ops[-1]
    assert (op.weight.values == 68).all(), "64 · 16 / 15 = 68.3"
    assert (op.weight.scale == 2.0**-10).all()


def test_it_is_a_convolution_with_weights_of_one() -> None:
    graph = calibrated(lambda: nn.Sequential(conv(3, 4, nn.ReLU()), POOLS["padded"]()))
    op = lowered(graph).ops[-1]
    assert isinstance(op, Conv2d)
    assert (op.groups, op.stride, op.padding, op.weight.values.shape) == (4, (1, 2), (1, 2), (4, 3, 5, 1))
    assert (op.weight.values == 1).all() and not op.bias.any()
    (moved,) = scale_moves(graph)[op.name]
    assert moved == abs(op.weight.scale[0] * 15 - 1) < 2**-6
    np.testing.assert_allclose(op.weight.scale, 1 / 15, rtol=5e-3)
    site = graph.sites["inner_1"]
    assert (site.dtype, int(site.proven)) == ("uint8", len(CONV_RULES))


def test_a_mean_by_hand() -> None:
    graph = calibrated(lambda: nn.AdaptiveAvgPool2d(1))
    with torch.no_grad():
        graph.sites["inner"].scale.fill_(0.25)
        graph.refresh()
        img = torch.zeros(1, 3, *SIZE)
        img[:, 0], img[:, 1, 0] = 0.5, -1.0  # everywhere; one row of 11
    mean = graph.integers(img)["inner"].flatten()
    assert mean.tolist() == [2.0, 0.0, 0.0]  # 0.5, −0.091 and 0 in steps of 0.25


def test_gradients_are_those_of_the_mean() -> None:
    graph = calibrated(lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.AvgPool2d(3, 2, 1)))
    site = graph.sites["inner_1"]
    q = torch.randint(-50, 50, (2, 4, *SIZE)).float().requires_grad_()
    y = site.forward_integer(q)
    upstream = torch.randn_like(y)
    y.backward(upstream)
    x = q.detach().clone().requires_grad_()
    nn.functional.avg_pool2d(x, 3, 2, 1).backward(upstream)
    factor = float(site.inputs[0].scale / site.scale)
    torch.testing.assert_close(q.grad, x.grad * factor, rtol=5e-3, atol=1e-6)


def test_another_size_than_prepared_is_refused() -> None:
    graph = calibrated(lambda: nn.Sequential(conv(), nn.AdaptiveAvgPool2d(1)))
    with pytest.raises(QuantizationError, match=r"inner.1 \(.*\) averages a whole picture of 11×14, but met 8×9; prep"):
        graph.integers(images(1, 8, 9))


def test_a_window_beyond_the_exact_range_of_float32_is_summed_in_float64() -> None:
    graph = calibrated(lambda: nn.Sequential(conv(3, 1, nn.ReLU()), nn.AdaptiveAvgPool2d(1)))
    site = graph.sites["inner_1"]
    site.inputs[0].shape = (1, 300, 250)
    q = torch.full((1, 1, 300, 250), 255.0)
    q[0, 0, 0, 0] = 254.0
    assert float(site.accumulate(q)) == 255 * 300 * 250 - 1
    assert site.tail_dtype() == torch.float64
