"""One look finds everything that keeps a network from its march, and nothing where it runs."""

import dataclasses
from pathlib import Path

import chains
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import ProofNetwork
from torch import nn
from torch.nn import functional as F

from hatlite.analysis import ModelCheck, check_network
from hatlite.errors import CaptureError, QuantizationError
from hatlite.graph import Refused, capture
from hatlite.march import Arithmetic, March, get_march
from hatlite.nn import Concat, DeQuantStub, Mul, QuantStub
from hatlite.quantization import QConfig, prepare

BAYES = get_march("bayes-sim")
IMG = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def check(network: nn.Module, march: March = BAYES, qconfig: QConfig | None = None) -> ModelCheck:
    return check_network(network, qconfig or QConfig(), IMG, march)


def source_of(line: str) -> str:
    file, number = line.rsplit(":", 1)
    return (Path(__file__).parents[2] / file).read_text(encoding="utf-8").splitlines()[int(number) - 1]


class Chain(nn.Module):
    """Modules one after the other between the stubs."""

    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.quant, self.inner, self.dequant = QuantStub(1 / 128), nn.Sequential(*inner), DeQuantStub()

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": self.dequant(self.inner(self.quant(img)))}


class Branchy(nn.Module):
    """Depends on a length, which cannot be traced."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if len(x) else -x


class Wrong(nn.Module):
    """Much that has no integer form, each on a line of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = QuantStub(1 / 128), DeQuantStub("int16")
        self.conv, self.gelu, self.pool = nn.Conv2d(3, 8, 3, padding=1), nn.GELU(), nn.MaxPool2d(2, ceil_mode=True)
        self.up = nn.ConvTranspose2d(8, 8, 4, 2, 1, groups=2)
        self.norm, self.soft, self.branchy, self.wide = nn.BatchNorm2d(8), nn.Softmax(1), Branchy(), nn.Conv2d(8, 4, 33)
        self.unfold, self.same, self.last = nn.Unfold(2), nn.Conv2d(8, 8, 3, padding="same"), nn.Conv2d(8, 4, 1)

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.gelu(self.conv(self.quant(img)))
        x = self.pool(self.up(x))
        x = self.norm(x)
        x = self.soft(x)
        x = self.branchy(x)
        x = x + 1
        x = F.gelu(x)
        halves = x.chunk(2, 1)
        x = torch.cat(halves, 1)
        x = self.same(input=x)
        tokens = self.unfold(x)
        large = F.pad(x, (9, 9, 9, 9))
        return {
            "y": self.dequant(self.last(x)),
            "large": self.dequant(self.wide(large)),
            "tokens": tokens,
            "img": self.dequant(self.pool(x)),
        }


EXPECTED = {
    ("GELU", "gelu", "self.gelu("): "Hardswish",
    ("MaxPool2d", "pool", "self.pool(self.up"): "padding=1",
    ("BatchNorm2d", "norm", "self.norm("): "directly behind a Conv2d",
    ("Softmax", "soft", "self.soft("): "behind a DeQuantStub everything is float",
    ("Branchy", "branchy", "x if len(x)"): "without control flow",
    ("add", "network", "x + 1"): "hatlite.nn.Add",
    ("gelu", "network", "F.gelu"): "Hardswish",
    ("cat", "network", "torch.cat"): "hatlite.nn.Concat",
    ("Conv2d", "same", "self.same("): "is a call of a module",
    ("Unfold", "unfold", "self.unfold("): "supported are AdaptiveAvgPool2d, Add",
    ("pad", "network", "F.pad"): "ZeroPad2d",
    ("DeQuantStub", "dequant", "self.pool(x)"): "DeQuantStub('int8')",
    ("MaxPool2d", "pool", "self.pool(x)"): "padding=1",
    ("conv2d", "wide", "self.wide("): "stack smaller kernels",
}
"""(operator, module path, what stands on the source line) → part of the remedy."""


def test_all_problems_are_found_at_once_each_with_its_place_and_its_remedy() -> None:
    found = check(Wrong())
    for (operator, module, text), remedy in EXPECTED.items():
        rows = [row for row in found.problems if (row.operator, row.module) == (operator, module)]
        assert [row for row in rows if text in source_of(row.line) and remedy in row.remedy], (operator, module, rows)
    (output,) = [row for row in found.problems if row.operator == "output"]
    assert (output.module, output.reason) == ("tokens", "it does not come from a DeQuantStub")
    assert len(found.problems) == len(EXPECTED) + 1
    runs = {row.module for row in found.operators if row.verdict == "runs"}
    assert runs == {"conv", "up", "last"}  # a transposed convolution in groups is one that runs


def test_a_good_network_runs_and_every_operator_says_so() -> None:
    found = check(ProofNetwork())
    assert not found.problems and {row.verdict for row in found.operators} == {"runs"}
    assert found.to_dict()["runs"] is True and found.to_dict()["shape"] == [1, 3, 16, 16]
    assert found.table().startswith("All operators run on bayes-sim at 1×3×16×16: 36 conv2d, 8 max_pool2d, 6 add,")
    assert found.table(everything=True).count("\n") == len(found.operators) + 3


def test_limits_of_the_march_are_listed_with_what_they_allow() -> None:
    limits = dataclasses.replace(BAYES.limits, stride=1, channels=16, side=8)
    found = check(ProofNetwork(), dataclasses.replace(BAYES, limits=limits))
    assert {row.verdict for row in found.problems} == {"exceeds the march"}
    stem = [row.reason for row in found.problems if row.module == "backbone.stem"]
    assert stem == ["stride is 2, the march allows at most 1", "input side is 16, the march allows at most 8"]
    expand = [row for row in found.problems if row.module == "backbone.blocks.0.expand"]
    assert [row.reason for row in expand] == ["output channels is 24, the march allows at most 16"]
    assert "self.expand(x)" in source_of(expand[0].line) and "fewer channels" in expand[0].remedy


def test_types_that_the_march_lacks_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    arithmetic = Arithmetic(output_dtypes=("int8", "uint8", "int16"))
    march = dataclasses.replace(BAYES, name="no-int32", arithmetic=arithmetic)
    monkeypatch.setitem(__import__("hatlite.march").march.MARCHES, march.name, march)
    rows = [row for row in check(ProofNetwork(), march).problems if row.operator == "program"]
    assert len(rows) == 5 and all("int32; march no-int32 has int8, uint8, int16" in row.reason for row in rows)


GOOD = (
    lambda: nn.Conv2d(4, 4, 3, padding=1),
    nn.ReLU,
    nn.SiLU,
    lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)),
    lambda: nn.MaxPool2d(3, 1, 1),
    lambda: nn.ConvTranspose2d(4, 4, 3, padding=1, groups=2),
)
BAD = (nn.GELU, nn.Softsign, lambda: nn.GroupNorm(2, 4), Branchy, lambda: nn.MaxPool2d(1, ceil_mode=True))


@settings(max_examples=25)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=7))
def test_exactly_the_wrong_ones_are_refused_wherever_they_stand(drawn: list[tuple[bool, int]]) -> None:
    modules = [(GOOD if good else BAD)[index]() for good, index in drawn]
    network = Chain(nn.Conv2d(3, 4, 1), *modules)
    wrong = {f"inner.{1 + index}" for index, (good, _) in enumerate(drawn) if not good}
    found = check(network)
    assert {row.module for row in found.problems} == wrong and len(found.problems) == len(wrong)
    if not wrong:
        prepare(network, QConfig(), IMG)
        return
    with pytest.raises(CaptureError) as first:  # strictly, one of them ends it
        prepare(network, QConfig(), IMG)
    assert first.value.name in wrong


class Sliced(nn.Module):
    """A part that loses an axis, read by a convolution; a refused value behind a stub; a wrong linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant, self.conv = QuantStub(1 / 128), DeQuantStub(), nn.Conv2d(3, 16, 1)
        self.linear, self.mul, self.concat = nn.Linear(16, 16), Mul(), Concat()

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.conv(self.quant(img))
        y = self.linear(x)
        flat = x[:, 0]
        late = self.mul(x, self.dequant(x))
        lost = self.conv(flat[:, :3].unsqueeze(1).expand(-1, 3, -1, -1))
        return {"y": self.dequant(self.concat(y, late)), "lost": self.dequant(lost), "flat": self.dequant(flat)}


def test_problems_of_shapes_and_borders_are_collected_too() -> None:
    reasons = {row.reason for row in check(Sliced()).problems}
    assert "Linear takes (N, C)" in reasons
    assert "it reads a value behind a DeQuantStub, which is float" in reasons
    assert {"unsqueeze is not a module", "expand is not a module"} <= reasons


def test_the_network_as_a_whole_may_be_the_problem() -> None:
    class Nameless(Chain):
        def forward(self, img: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return self.inner(self.quant(img))

    (row,) = check(Nameless(nn.Conv2d(3, 4, 1))).problems
    assert row.module == "network" and "returns no dict of tensors" in row.reason


def test_a_network_that_does_not_run_in_float_cannot_be_checked() -> None:
    with pytest.raises(CaptureError, match=r"does not run in float on an image of 1×3×16×16: RuntimeError: .* Mend"):
        check(Chain(nn.Conv2d(5, 4, 1)))


def test_the_weights_and_statistics_stay_as_they_are() -> None:
    network = Wrong()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    check(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_capture_with_refusals_computes_what_the_network_computes() -> None:
    network, refusals = Wrong().eval(), []
    captured = capture(network, refusals.append)
    assert [call.path for call in captured.calls if isinstance(call.module, Refused)].count(
        "network"
    ) == 5  # a sum, gelu, chunk, cat, pad
    with torch.no_grad():
        expected = network(IMG)
    got = captured.run(IMG)
    for name, call in captured.outputs.items():
        torch.testing.assert_close(got[call], expected[name], rtol=0, atol=0)


def test_a_graph_with_stand_ins_does_not_run() -> None:
    graph = prepare(Chain(nn.GELU()).eval(), QConfig(), IMG, lambda problem: None)
    graph(IMG)
    graph.finish_calibration()
    with pytest.raises(QuantizationError, match=r"inner.0 \(.*\) stands for an operation that was refused; it can be"):
        graph(IMG)


def test_layers_with_16_bit_weights_are_named() -> None:
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)
    tidl = get_march("tidl")
    found = check(Chain(*layers), tidl, QConfig(first_and_last="int16", march="tidl"))
    assert found.summary() == "All operators run on tidl at 1×3×16×16: 3 conv2d. 16-bit weights: inner.0, inner.3."
    assert [row.weight_dtype for row in found.operators] == ["int16", "int8", "int16"]
    many = QConfig(weight=dict(dtype="int16"), march="tidl")
    found = check(Chain(*(nn.Conv2d(3, 3, 1) for _ in range(18))), tidl, many)
    assert found.summary().endswith(" inner.14, inner.15 and 2 more, which --json names.")
    assert "16-bit" not in check(Chain(*layers)).summary()


def test_a_network_for_unit_scales_runs_with_any_ranges() -> None:
    found = check_network(
        chains.Chain((3, 4, 2)), QConfig(march="gti5801"), chains.pixels(1, 8, 8), get_march("gti5801")
    )
    assert not found.problems
    kinds = [(row.operator, row.weight_dtype) for row in found.operators]
    assert kinds == [("conv2d", "kernel3"), ("max_pool2d", ""), ("conv2d", "kernel3"), ("conv2d", "kernel3")]


def test_every_limit_of_unit_scales_is_found_at_once() -> None:
    network = chains.Chain((3, 4, 2))
    network.convs[1] = nn.Conv2d(3, 4, 5, padding=2)
    network.relus[2] = nn.Identity()
    network.pool = nn.MaxPool2d(3, 2)
    found = check_network(network, QConfig(march="gti5801"), chains.pixels(1, 9, 9), get_march("gti5801"))
    reasons = [row.reason for row in found.problems]
    assert any("its result can be negative, and the march has unsigned values only" in reason for reason in reasons)
    assert "kernel side is 5, the march has 1 and 3 only" in reasons
    assert "pool window is 3, the march has 2 only" in reasons


def test_an_image_of_other_steps_is_refused() -> None:
    network = chains.Chain((2,))
    network.quant = QuantStub(1 / 128)
    found = check_network(network, QConfig(march="gti5801"), chains.pixels(1, 8, 8), get_march("gti5801"))
    problem = found.problems[0]
    assert problem.reason == "the image has the scale 0.0078125, and the march has 1 only"
    assert problem.remedy == "write QuantStub(1), and let QuantizePixels make its integers"
