"""Preparation keeps the network's parameters, gives each call its own site, and refuses what has no integer form."""

import copy

import pytest
import torch
from networks import LEVELS, ProofNetwork, images
from torch import nn

from hatlite.errors import CaptureError, QuantizationError
from hatlite.nn import Add, DeQuantStub, DropPath, QuantStub
from hatlite.quantization import FakeQuantGraph, QConfig, prepare
from hatlite.quantization.sites import ConvSite
from hatlite.quantization.sites.rounding import RoundingSite

IMG = images(2, 36, 52)


def prepared(network: nn.Module | None = None, qconfig: QConfig | None = None) -> FakeQuantGraph:
    return prepare(network or ProofNetwork(), qconfig or QConfig(), IMG[:1])


class Chain(nn.Module):
    """Modules one after the other between the stubs."""

    def __init__(self, *inner: nn.Module, dtype: str = "int8") -> None:
        super().__init__()
        self.quant, self.inner, self.dequant = QuantStub(1 / 128), nn.Sequential(*inner), DeQuantStub(dtype)

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": self.dequant(self.inner(self.quant(img)))}


def test_parameters_keep_their_names_and_their_storage() -> None:
    network = ProofNetwork()
    graph = prepared(network)
    assert dict(graph.named_parameters()).keys() == dict(network.named_parameters()).keys()
    assert all(p is dict(network.named_parameters())[n] for n, p in graph.named_parameters())
    extra = graph.state_dict().keys() - network.state_dict().keys()
    assert extra and all(name.startswith("sites.") for name in extra)


def test_the_calibrate_forward_is_the_float_forward() -> None:
    network = ProofNetwork().eval()
    with torch.no_grad():
        expected, got = network(IMG), prepared(network)(IMG)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=1e-4 * float(value.abs().max()))


def test_a_shared_tower_has_one_weight_and_a_site_per_level() -> None:
    graph = prepared()
    with torch.no_grad():
        graph(IMG)
    graph.finish_calibration()
    towers = [site for site in graph.sites.values() if site.path == "head.tower"]
    assert len(towers) == LEVELS
    assert len({id(site.layer) for site in towers}) == 1
    assert len({float(site.weight_scale[0]) for site in towers}) == LEVELS


def test_types_follow_from_what_is_provably_nonnegative() -> None:
    sites = {name: site for name, site in prepared().sites.items()}
    kinds = {site.path: site.dtype for site in sites.values()}
    assert kinds["quant"] == "int8"
    assert kinds["backbone.stem"] == kinds["backbone.blocks.0.depthwise"] == "uint8"
    assert kinds["backbone.blocks.0.project"] == kinds["backbone.blocks.0.add"] == "int8"
    assert (kinds["head.cls"], kinds["head.box"], kinds["head.centerness"]) == ("int16", "int32", "int8")


def test_a_stub_decides_the_type_of_its_output_whatever_the_rules_say() -> None:
    kinds = {site.path: site.dtype for site in prepared(qconfig=QConfig(activation=dict(dtype="int16"))).sites.values()}
    assert (kinds["head.cls"], kinds["head.box"], kinds["head.centerness"]) == ("int16", "int32", "int8")
    assert kinds["backbone.stem"] == "int16"


def test_batch_norm_and_relu_are_fused() -> None:
    sites = prepared().sites.values()
    assert not any("bn" in site.path for site in sites)
    assert [site.path for site in sites if type(site).__name__ == "RescaleSite"] == ["neck.relu"]


def test_eight_bits_follow_the_float_network() -> None:
    network = ProofNetwork().eval()
    graph = prepared(network, QConfig(activation=dict(observer="min_max")))
    with torch.no_grad():
        graph(IMG)
        graph.finish_calibration()
        expected, got = network(IMG), graph(IMG)
    for name, value in expected.items():
        assert float((got[name] - value).norm() / value.norm()) < 0.25, name


def test_the_gradient_points_where_the_float_gradient_points() -> None:
    float_network, network = ProofNetwork().eval(), ProofNetwork().eval()
    graph = prepared(network, QConfig(activation=dict(dtype="int16", observer="min_max")))
    with torch.no_grad():
        graph(IMG)
    graph.finish_calibration()
    for module in (float_network, graph):
        sum(out.square().mean() for out in module(IMG).values()).backward()
    expected = dict(float_network.named_parameters())
    cosines = [
        torch.nn.functional.cosine_similarity(p.grad.flatten(), expected[name].grad.flatten(), dim=0)
        for name, p in graph.named_parameters()
    ]
    assert float(torch.stack(cosines).median()) > 0.98


def test_a_copy_is_independent_and_equal() -> None:
    graph = prepared()
    with torch.no_grad():
        graph(IMG)
    graph.finish_calibration()
    twin = copy.deepcopy(graph)
    assert all(twin.sites[n].layer is not s.layer for n, s in graph.sites.items() if isinstance(s, ConvSite))
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(1.5)
    twin.refresh()
    fresh = prepared()
    fresh.load_state_dict(graph.state_dict())
    fresh.integer_mode()
    with torch.no_grad():
        changed, kept, loaded = twin(IMG), graph(IMG), fresh(IMG)
    assert all(torch.equal(kept[name], loaded[name]) for name in kept)
    assert not torch.equal(changed["cls_s2"], kept["cls_s2"])


def test_integers_need_scales() -> None:
    with pytest.raises(QuantizationError, match="has no scale yet: run calibration, or load a calibration or qat"):
        prepared().integer_mode()
    with pytest.raises(QuantizationError, match="Calibration saw no image"):
        prepared().finish_calibration()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Chain(nn.Softsign()), r"inner.0 \(.*\): Softsign has no integer form; supported are AdaptiveAvgPool2d, Add, "),
        (Chain(nn.Softmax(1)), r"Softmax has no integer form; take it out of the network: behind a DeQuantStub every"),
        (Chain(nn.MaxPool2d(2), nn.BatchNorm2d(3)), "this BatchNorm2d is not the only reader of a convolution"),
        (Chain(nn.Conv2d(3, 3, 3, padding="same")), "padding must be numbers, filled with zeros"),
        (Chain(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")), "padding must be numbers, filled with zeros"),
        (Chain(nn.MaxPool2d(2, ceil_mode=True)), "MaxPool2d must have ceil_mode=False"),
        (Chain(nn.AvgPool2d(2, ceil_mode=True)), "AvgPool2d must have ceil_mode=False, no divisor_override and count"),
        (Chain(nn.AvgPool2d(3, padding=1, count_include_pad=False)), "AvgPool2d must have .* count padded pixels"),
        (Chain(nn.AvgPool2d(3, divisor_override=4)), "AvgPool2d must have ceil_mode=False, no divisor_override"),
        (Chain(nn.AdaptiveAvgPool2d((1, 2))), "AdaptiveAvgPool2d must have output_size=1; for windows use AvgPool2d"),
        (Chain(nn.ZeroPad2d((0, -1, 0, 0))), "ZeroPad2d must not cut pixels off; padding is 0 or more on every side"),
        (Chain(nn.MaxPool2d(2), dtype="int32"), "int32 needs a convolution before the stub, not MaxPool2d"),
    ],
)
def test_what_has_no_integer_form_is_refused_with_its_place(network: nn.Module, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        prepared(network)


class Border(nn.Module):
    """Ways to cross the border wrongly."""

    def __init__(self, case: str) -> None:
        super().__init__()
        self.case = case
        self.quant, self.conv, self.add = QuantStub(1 / 128), nn.Conv2d(3, 3, 1), Add()
        self.first, self.second = DeQuantStub("int16"), DeQuantStub("int32")
        self.plain = nn.Conv2d(3, 3, 1)

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.case == "no quant":
            return {"y": self.first(self.conv(img))}
        x = self.conv(self.quant(img))
        if self.case == "no dequant":
            return {"y": x}
        if self.case == "raw and read":
            return {"y": self.second(x), "z": self.first(self.add(x, x))}
        y = self.first(x)
        return {"y": y, "z": self.second(x if self.case == "two dtypes" else self.plain(y))}


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("no quant", "the image must enter through a QuantStub"),
        ("no dequant", "The output 'y' of the network does not come from a DeQuantStub"),
        ("two dtypes", "two DeQuantStubs ask for different dtypes"),
        ("behind", "reads a value behind a DeQuantStub, which is float"),
        ("raw and read", "the raw accumulator is also read by add; use int8 or int16"),
    ],
)
def test_the_border_is_checked(case: str, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        prepared(Border(case))


@pytest.mark.parametrize("last", [nn.Sigmoid(), nn.Tanh()])
def test_a_table_may_leave_in_int16(last: nn.Module) -> None:
    kinds = [site.dtype for site in prepared(Chain(nn.Conv2d(3, 4, 1), last, dtype="int16")).sites.values()]
    assert kinds == ["int8", "int8", "int16"]


def test_a_drop_path_leaves_no_site() -> None:
    sites = prepared(Chain(nn.Conv2d(3, 4, 1), DropPath(0.5)).train()).sites.values()
    assert [site.path for site in sites] == ["quant", "inner.0"]


def test_linear_multiplies_rows_of_numbers_not_columns_of_pictures() -> None:
    graph = prepare(Chain(nn.Linear(3, 4), nn.ReLU()), QConfig(), torch.zeros(1, 3))
    assert [(site.path, site.shape, site.dtype) for site in graph.sites.values()][1:] == [("inner.0", (4,), "uint8")]
    with pytest.raises(CaptureError, match=r"inner.0 \(.*:\d+\): Linear takes \(N, C\); for the channels of a picture"):
        prepare(Chain(nn.Linear(8, 8)), QConfig(), torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_calibration_refuses_values_that_are_no_numbers(wrong: float) -> None:
    network = Chain(nn.Conv2d(3, 4, 1))
    graph = prepare(network, QConfig(), IMG[:1])
    nn.init.constant_(network.inner[0].bias, wrong)
    with pytest.raises(QuantizationError, match=r"inner.0 \(.*:\d+\): calibration met a value that is NaN, infin"):
        graph(IMG)


def silent(*last: nn.Module) -> FakeQuantGraph:
    """Nothing positive reaches the last module."""
    network = Chain(nn.Conv2d(3, 4, 1), nn.MaxPool2d(2), *last)
    nn.init.constant_(network.inner[0].bias, -9.0)
    graph = prepared(network)
    with torch.no_grad():
        graph(IMG)
    return graph


def test_a_relu_that_was_never_positive_has_a_scale_that_multipliers_reach() -> None:
    graph = silent(nn.ReLU())
    graph.finish_calibration()
    first, last = graph.sites["inner_0"], graph.sites["inner_2"]
    assert float(first.scale) / float(last.scale) == 2.0**12
    assert not graph.integers(IMG)["inner_2"].any()


def test_a_refresh_that_fails_names_the_site() -> None:
    graph = silent(nn.ReLU())
    graph.finish_calibration()
    graph.sites["inner_2"].scale.fill_(1e-12)
    with pytest.raises(QuantizationError, match=r"inner.2 \(.*:\d+\): a real multiplier is .*, too large"):
        graph.refresh()


def calibrated() -> FakeQuantGraph:
    graph = prepared()
    with torch.no_grad():
        graph(IMG)
    graph.finish_calibration()
    return graph


def test_eight_bit_sites_are_proven_and_round_in_float32() -> None:
    sites = [site for site in calibrated().sites.values() if isinstance(site, RoundingSite)]
    proven = {site.path for site in sites if site.tail_dtype() == torch.float32}
    eight_bits = {site.path for site in sites if site.dtype in ("int8", "uint8")}
    assert proven == eight_bits and len(proven) > 10
    for site in sites:
        if isinstance(site, ConvSite) and site.path in proven:
            moved = site.weight_scale / site.ideal_weight_scale - 1
            assert 0 < float(moved.abs().max()) < 0.06, site.path


def test_autocast_and_other_precisions_of_the_caller_cannot_get_inside() -> None:
    graph = calibrated().train()
    plain = graph.integers(IMG)
    with torch.autocast("cpu", torch.bfloat16):
        cast = graph.integers(IMG)
    for name, value in plain.items():
        torch.testing.assert_close(cast[name], value, rtol=0, atol=0)


def test_every_result_is_shown_in_the_mode_that_the_graph_is_in() -> None:
    graph = calibrated()
    integers, shown = graph.integers(IMG), {}
    graph.show(IMG, shown.__setitem__)
    assert list(shown) == list(graph.sites) and all(torch.equal(shown[name], integers[name]) for name in shown)
    graph.calibrate_mode()
    observed = graph.batches_observed
    graph.show(IMG, shown.__setitem__)
    last = next(iter(graph.outputs.values()))
    assert graph.batches_observed == observed and not torch.equal(shown[last], integers[last])


def test_an_identity_hides_neither_batch_norm_nor_relu() -> None:
    graph = prepared(
        Chain(nn.Conv2d(3, 4, 1), nn.Identity(), nn.BatchNorm2d(4), nn.Identity(), nn.ReLU(), nn.Identity())
    )
    assert [(type(site).__name__, site.relu) for site in graph.sites.values()] == [
        ("InputSite", False),
        ("ConvSite", True),
    ]
    with torch.no_grad():
        graph(IMG)
