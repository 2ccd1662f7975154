"""Fewer bits than the type has: clamps of results, the same in training and in every engine."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import ProofNetwork, images
from operator_networks import assert_exact, calibrated, conv, differing
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.nn import Concat
from hatlite.quantization import FakeQuantGraph, QConfig, prepare

PICTURE = (36, 52)


class Joined(nn.Module):
    """Two convolutions, one behind a ReLU, pooled and concatenated, and a third one that reads both."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = conv(3, 4), conv(3, 4), conv(8, 3)
        self.relu, self.pool, self.concat = nn.ReLU(), nn.MaxPool2d(2, 2), Concat()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        joined = self.concat(self.pool(self.relu(self.first(x))), self.pool(self.second(x)))
        return self.third(joined)


def integers(graph: FakeQuantGraph) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return graph.integers(images(2, *PICTURE, seed=2))


@given(bits=st.integers(2, 8), seed=st.integers(0, 50))
@settings(max_examples=10)
def test_every_integer_is_the_same_everywhere_and_inside_its_bits(bits: int, seed: int) -> None:
    graph = prepare(ProofNetwork(seed), QConfig(activation=dict(bits=bits)), images(1, *PICTURE))
    with torch.no_grad():
        graph(images(2, *PICTURE, seed=seed))
    graph.finish_calibration()
    assert differing(graph, images(1, *PICTURE, seed=seed + 1)) == 0
    for name, q in integers(graph).items():
        site = graph.sites[name]
        if site.dtype in ("int8", "uint8") and site.path != "quant":
            low, high = (0, 2**bits - 1) if site.dtype == "uint8" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            assert low <= float(q.min()) and float(q.max()) <= high, name


def test_five_bits_use_their_whole_range_and_no_more() -> None:
    graph = prepare(ProofNetwork(), QConfig(rules={"backbone.stem": dict(bits=5)}), images(1, *PICTURE))
    with torch.no_grad():
        graph(images(2, *PICTURE))
    graph.finish_calibration()
    found = integers(graph)
    assert float(found["backbone_stem"].max()) == 31.0 and float(found["backbone_stem"].min()) == 0.0
    assert float(found["backbone_blocks_0_expand"].max()) > 31.0


def test_parts_of_a_concat_may_have_different_bits() -> None:
    assert_exact(calibrated(Joined, qconfig=QConfig(rules={"*first.*": dict(bits=3), "*second.*": dict(bits=6)})))
    assert_exact(calibrated(Joined, qconfig=QConfig(rules={"*first.*": dict(bits=4)})))


def test_the_image_keeps_its_type() -> None:
    graph = prepare(ProofNetwork(), QConfig(activation=dict(bits=4)), images(1, *PICTURE))
    assert (graph.sites["quant"].quant_min, graph.sites["quant"].quant_max) == (-128, 127)


@pytest.mark.parametrize("bits", [1, 16, 5.5, True, "5"])
def test_impossible_bits_are_refused(bits: object) -> None:
    with pytest.raises(QuantizationError, match=r"An activation's bits is .*; expected 2 to 8, or 9 to 15 of int16\."):
        QConfig(activation=dict(bits=bits))


def test_bits_of_a_wide_type_are_refused() -> None:
    with pytest.raises(QuantizationError, match=r"An activation has 5 bits and dtype 'int16', which has 9 to 15; give"):
        QConfig(rules={"neck.*": dict(dtype="int16", bits=5)})
    with pytest.raises(QuantizationError, match=r"An activation has 10 bits and dtype 'int8', which has 2 to 8; give"):
        QConfig(activation=dict(bits=10))
