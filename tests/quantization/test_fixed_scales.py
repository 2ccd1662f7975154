"""Scales that the config gives: taken as they are, rescaled into concatenations, exact, and refused without a place."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import ProofNetwork, images
from operator_networks import SIZE, Stubbed, assert_exact, calibrated, conv, differing
from torch import nn

from hatlite.errors import CaptureError
from hatlite.nn import Add, Concat, Mul
from hatlite.quantization import QConfig, prepare, site_ranges


class Mixed(nn.Module):
    """Convolution, table, product, sum and concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(3, 4, nn.ReLU()), conv(4, 4)
        self.gate, self.mul, self.add, self.concat = nn.Sigmoid(), Mul(), Add(), Concat()
        self.pool, self.last = nn.MaxPool2d(3, 1, 1), conv(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.first(x)
        b = self.second(a)
        return self.last(self.concat(self.pool(self.add(a, b)), self.mul(a, self.gate(b))))


PLACES = ("quant", "inner.first.0", "inner.second.0", "inner.gate", "inner.mul", "inner.add", "inner.last.0")
scales = st.floats(2.0**-9, 2.0**-3, width=32)


@settings(max_examples=15, deadline=None)
@given(st.dictionaries(st.sampled_from(PLACES), scales, min_size=1, max_size=4), st.integers(0, 99))
def test_every_value_is_equal_and_every_scale_is_the_given_one(fixed: dict[str, float], seed: int) -> None:
    rules = {place: dict(scale=scale) for place, scale in fixed.items()}
    graph = calibrated(Mixed, seed, QConfig(rules=rules), scale=None)
    for place, scale in fixed.items():
        (site,) = [site for site in graph.sites.values() if site.path == place]
        assert float(site.scale) == np.float32(scale)
    assert differing(graph, images(2, *SIZE, seed=seed, full_scale=seed % 2 == 0)) == 0


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        (
            {"inner.add": dict(scale=0.05)},
            r"inner.add \(.*\): its scale is fixed at 0.05, and the march has powers of two",
        ),
        (
            {"inner.first.0": dict(absmax=3)},
            "fixed at 0.0117188, .* give 0.015625 or 0.0078125, or leave it to calibration",
        ),
    ],
)
def test_a_scale_that_the_march_does_not_have_is_refused(rules: dict, text: str) -> None:
    with pytest.raises(CaptureError, match=text):
        calibrated(Mixed, qconfig=QConfig(rules=rules, march="tidl"))
    with pytest.raises(CaptureError, match="quant .*: its scale is fixed at 0.01, .* give 0.015625 or 0.0078125"):
        calibrated(Mixed, qconfig=QConfig(march="tidl"), scale=0.01)


def test_powers_of_two_are_taken_by_a_march_that_has_no_others() -> None:
    rules = {"inner.add": dict(scale=2**-5), "inner.first.*": dict(absmax=4.0)}
    graph = calibrated(Mixed, qconfig=QConfig(rules=rules, march="tidl"))
    assert float(graph.sites["inner_add"].scale) == 2**-5
    assert float(graph.sites["inner_first_0"].scale) == 4.0 / 256, "the last of 256 steps saturates"
    assert_exact(graph)


def test_training_and_refreshing_leave_it_where_it_is() -> None:
    rules = {"inner.add": dict(scale=0.1), "inner.first.*": dict(absmax=3.0)}
    graph = calibrated(Mixed, qconfig=QConfig(activation=dict(learn=True), rules=rules))
    assert_exact(graph)
    assert float(graph.sites["inner_add"].scale) == np.float32(0.1)
    assert float(graph.sites["inner_first_0"].scale) == np.float32(3.0 / 255)
    assert graph.sites["inner_add"].log_scale is None


def test_a_fixed_part_is_rescaled_into_a_concatenation() -> None:
    graph = calibrated(Mixed, qconfig=QConfig(rules={"inner.mul": dict(scale=0.25)}))
    assert "inner_concat_rescale_1" in graph.sites
    assert float(graph.sites["inner_mul"].scale) == 0.25
    assert float(graph.sites["inner_concat"].scale) == float(graph.sites["inner_add"].scale) != 0.25


def test_the_rule_is_asked_before_the_stub() -> None:
    graph = calibrated(Mixed, qconfig=QConfig(rules={"type:QuantStub": dict(scale=1 / 64)}))
    assert float(graph.sites["quant"].scale) == 1 / 64
    (row,) = [row for row in site_ranges(graph) if row.name == "quant"]
    assert (row.rule, row.scale, row.kept) == ("fixed", 1 / 64, 127 / 64)


@pytest.mark.parametrize("path", ["inner.pool", "inner.concat", "type:MaxPool2d"])
def test_an_operation_without_a_scale_of_its_own_is_refused(path: str) -> None:
    with pytest.raises(CaptureError, match=r"inner.\w+ \(.*:\d+\): a rule .* has the scale of its input; narrow"):
        prepare(Stubbed(Mixed()), QConfig(rules={path: dict(scale=0.1)}), images(1, *SIZE))


def test_a_raw_accumulator_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"head.box .* has the raw accumulator, with one scale per channel; narrow"):
        prepare(ProofNetwork(), QConfig(rules={"head.box": dict(scale=0.1)}), images(1, 36, 52))
