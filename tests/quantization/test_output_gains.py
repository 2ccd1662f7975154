import pytest
import torch
from chain_networks import ChainNetwork, five_bit_images
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.quantization import QConfig, prepare
from hatlite.quantization.observer import observer
from hatlite.quantization.output_gains import ChannelObserver


def prepared(network: nn.Module, **qconfig: object):
    graph = prepare(network, QConfig(march="gti5801", output_gains="per_channel", **qconfig), five_bit_images(1))
    graph.calibrate_mode()
    with torch.no_grad():
        graph(five_bit_images(4))
    return graph


def test_every_channel_uses_all_steps() -> None:
    network = ChainNetwork()
    with torch.no_grad():
        network.conv2.weight[1].mul_(0.25)
        network.conv2.bias[1].mul_(0.25)
    graph = prepared(network, activation={"observer": "min_max"})
    graph.finish_calibration()
    seen = graph._run(five_bit_images(4), keep={"conv2"})["conv2"]
    reached = seen.amax((0, 2, 3)) / float(graph.sites["conv2"].scale)
    assert bool((reached > 28).all())
    assert float(network.dequant.gain.amin()) < 0.5 and float(network.dequant.gain.amax()) == 1.0


def test_channels_are_observed_one_by_one_and_merge_as_if_one_had_seen_all() -> None:
    values = torch.rand(6, 3, 4, 4) * torch.tensor([1.0, 4.0, 0.01]).reshape(1, 3, 1, 1)
    whole, first, second = (ChannelObserver(observer("min_max")) for _ in range(3))
    whole.observe(values)
    first.observe(values[:2])
    second.observe(values[2:])
    fresh = ChannelObserver(observer("min_max"))
    for part in (first, second):
        fresh.merge(part)
    assert torch.equal(fresh.ranges(31), whole.ranges(31))
    assert whole.absmax(31) == float(values.amax()) == whole.largest()
    assert whole.ranges(31)[2] == whole.ranges(31)[1] / 16  # rows are scaled up sixteen times at most
    assert whole.choice(31) == "min_max, each channel its own" and whole.share_beyond(1.0) is None


def test_a_channel_that_was_never_anything_but_0_keeps_its_row() -> None:
    seen = ChannelObserver(observer("percentile"))
    seen.observe(torch.stack([torch.rand(2, 4, 4), torch.zeros(2, 4, 4)], dim=1))
    assert seen.ranges(31)[1] == seen.ranges(31)[0]
    assert 0.0 <= seen.share_beyond(0.5) <= 1.0


def test_outputs_without_a_gain_are_told() -> None:
    network = ChainNetwork()
    network.dequant.gain = None
    with pytest.raises(QuantizationError, match=r"conv2 .* gains of their own; .*\['output_gains'\] to 'shared'"):
        prepared(network).finish_calibration()
    with pytest.raises(QuantizationError, match=r"\['output_gains'\] is 'both'; expected 'shared' or 'per_channel'"):
        QConfig(output_gains="both")
