"""Transposed convolution: the float network's values, the same integers on all sides, the formula's gradients."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import images
from operator_networks import SIZE, Stubbed, assert_exact, calibrated, conv, differing, lowered
from torch import nn

from hatlite.errors import CaptureError
from hatlite.nn import Concat, DeQuantStub, QuantStub
from hatlite.quantization import QConfig, prepare
from hatlite.quantization.sites.conv_transpose import Phases

axis = st.integers(1, 5)


@st.composite
def layers(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of a layer that has pixels left for a picture of 11 × 14."""
    pair = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))  # noqa: E731
    stride, dilation = pair(1, 4), pair(1, 3)
    largest = [max(s, d) - 1 for s, d in zip(stride, dilation, strict=True)]
    return {
        "kernel_size": pair(1, 5),
        "stride": stride,
        "padding": pair(0, 4),
        "output_padding": tuple(draw(st.integers(0, n)) for n in largest),
        "dilation": dilation,
        "groups": draw(st.sampled_from([1, 2, 4])),
        "bias": draw(st.booleans()),
    }


def transposed(*after: nn.Module, channels_out: int = 4, **layer: Any) -> nn.Sequential:
    fields = {"kernel_size": 4, "stride": 2, "padding": 1, **layer}
    return nn.Sequential(conv(3, 4, nn.ReLU()), nn.ConvTranspose2d(4, channels_out, **fields), *after)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    bn = nn.BatchNorm2d(channels)
    nn.init.normal_(bn.weight, 0.7, 0.5)  # some negative
    nn.init.normal_(bn.bias, 0.0, 0.4)
    nn.init.uniform_(bn.running_var, 0.2, 2.0)
    nn.init.normal_(bn.running_mean, 0.0, 0.3)
    return bn


@settings(max_examples=40, deadline=None)
@given(layers())
def test_the_phases_make_the_values_of_the_float_network(layer: dict[str, Any]) -> None:
    network = Stubbed(transposed(batch_norm(8), nn.ReLU(), channels_out=8, **layer)).double().eval()
    img = images(2, *SIZE).double()
    graph = prepare(network, QConfig(), img[:1])
    with torch.no_grad():
        torch.testing.assert_close(graph(img)["y"], network(img)["y"], rtol=1e-9, atol=1e-9)


@settings(max_examples=12, deadline=None)
@given(layers(), st.sampled_from([(), (nn.ReLU(),)]), st.integers(0, 100))
def test_every_value_is_equal(layer: dict[str, Any], after: tuple, seed: int) -> None:
    graph = calibrated(lambda: transposed(batch_norm(4), *after, **layer), seed)
    assert differing(graph, images(2, *SIZE, seed=seed)) == 0


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize(
    "layer", [{}, {"kernel_size": 2, "padding": 0}, {"stride": 1}, {"stride": (1, 3), "groups": 2}]
)
def test_every_value_stays_equal_while_it_learns(layer: dict[str, Any], dtype: str) -> None:
    rules = QConfig(rules={"inner.1": dict(dtype=dtype)})
    assert_exact(calibrated(lambda: transposed(batch_norm(4), **layer), qconfig=rules))


def test_what_it_becomes() -> None:
    graph = calibrated(lambda: transposed(nn.ReLU(), nn.Conv2d(4, 4, 1)))
    program = lowered(graph)
    kinds = [(op.kind, op.name) for op in program.ops]
    names = ("inner_1_phases", "inner_1_blocks", "inner_1")
    assert kinds[1:4] == list(zip(("conv2d", "depth_to_space", "slice"), names, strict=True))
    assert [program.values[name].dtype for name in names] == ["uint8"] * 3
    assert program.ops[1].weight.values.shape == (16, 2, 2, 4)  # 4 × 4 taps, dealt out to 2 × 2 phases: none is lost
    assert program.ops[1].source.module == program.ops[3].source.module == "inner.1"
    assert program.outputs[0].stride == 1  # no smaller one, though the output is larger than the image
    without_edges = lowered(calibrated(lambda: transposed(kernel_size=2, padding=0)))
    assert [op.kind for op in without_edges.ops] == ["conv2d", "conv2d", "depth_to_space"]
    assert [op.kind for op in lowered(calibrated(lambda: transposed(stride=1, kernel_size=3))).ops] == ["conv2d"] * 2


@given(axis, axis, st.integers(0, 6), st.integers(0, 3), st.integers(1, 3), st.integers(1, 9))
def test_an_axis_by_its_definition(kernel: int, stride: int, padding: int, more: int, dilation: int, side: int) -> None:
    """Tap j of input q lands on pixel q · stride + dilation · j − padding."""
    output_padding = min(more, max(stride, dilation) - 1)
    size = (side - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1
    phases = Phases.of(kernel, stride, padding, output_padding, dilation)
    blocks = side + 2 * phases.padding - phases.taps + 1
    start, end = phases.cut
    assert min(start, end) >= 0 and blocks * stride - start - end == size


class TwoLevels(nn.Module):
    """One layer on two levels, with a batch norm for each."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(3, 4, nn.ReLU()), conv(4, 4, nn.ReLU())
        self.up = nn.ConvTranspose2d(4, 4, 3, 2, 1, 1, bias=False)
        self.norms = nn.ModuleList(batch_norm(4) for _ in range(2))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        a = self.first(x)
        b = self.second(a)
        return {"a": self.norms[0](self.up(a)), "b": self.norms[1](self.up(b))}


def test_a_shared_layer_has_a_site_per_call() -> None:
    graph = calibrated(TwoLevels)
    first, second = graph.sites["inner_up_phases"], graph.sites["inner_up_1_phases"]
    assert first.layer is second.layer
    assert not torch.equal(first.weight_scale, second.weight_scale)
    assert_exact(graph)


class Joined(nn.Module):
    """A decoder's step: the upsampled value beside one of its size."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = conv(3, 4, nn.ReLU(), nn.MaxPool2d(2)), nn.ConvTranspose2d(4, 4, 2, 2)
        self.pad, self.skip, self.concat = nn.ZeroPad2d((0, 0, 0, 1)), conv(3, 4), Concat()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.concat(self.pad(self.up(self.down(x))), self.skip(x))


def test_it_passes_its_group_of_scales_on() -> None:
    graph = calibrated(Joined)
    names = ("inner_up_phases", "inner_up", "inner_pad", "inner_skip_0", "inner_concat")
    assert len({(graph.sites[name].dtype, float(graph.sites[name].scale)) for name in names}) == 1
    assert_exact(graph)


def test_gradients_are_those_of_the_real_valued_formula() -> None:
    """Loose scales, so that nothing saturates: then rounding is all that tells both sides apart."""
    torch.manual_seed(3)
    inner = nn.Sequential(nn.ConvTranspose2d(3, 4, 3, 2, 1, 1, groups=1), batch_norm(4))
    network = Stubbed(inner).eval()
    graph = prepare(network, QConfig(activation=dict(observer="min_max")), images(1, *SIZE))
    img = images(2, *SIZE)
    with torch.no_grad():
        graph(img * 3)
    graph.finish_calibration()
    upstream = torch.randn(2, 4, 2 * SIZE[0], 2 * SIZE[1])
    parameters = list(inner.parameters())
    expected = torch.autograd.grad((network(img)["y"] * upstream).sum(), parameters)
    got = torch.autograd.grad((graph.train()(img)["y"] * upstream).sum(), parameters)
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.01 * float(theirs.abs().max()))


class Raw(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.quant, self.up, self.dequant = QuantStub(1 / 128), nn.ConvTranspose2d(3, 4, 2, 2), DeQuantStub("int32")

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": self.dequant(self.up(self.quant(img)))}


def test_accumulators_of_phases_do_not_leave() -> None:
    with pytest.raises(CaptureError, match=r"dequant \(.*:\d+\): int32 needs a convolution .*, not ConvTransp"):
        prepare(Raw(), QConfig(), images(1, *SIZE))
