"""Networks drawn from all operators: the fake-quant forward, all engines and ONNX Runtime agree at 0 LSB."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SIGNED_MARCHES, images
from operator_networks import SIZE, calibrated, conv, differing, train_a_little
from torch import nn

from hatlite.march import get_march
from hatlite.nn import Add, Concat, Exp, Interpolate, Mul, Sub
from hatlite.quantization import QConfig
from hatlite.quantization.sites import LUT_FUNCTIONS

CHANNELS = 4


def narrow() -> nn.Module:
    return nn.Conv2d(2 * CHANNELS, CHANNELS, 1)


def one_row_less() -> nn.Module:
    return nn.Conv2d(CHANNELS, CHANNELS, (2, 1))


def gate() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(CHANNELS, CHANNELS, 1), nn.Sigmoid())


class Halves(nn.Module):
    """The channels in another order, and the picture from every other column and back."""

    def __init__(self) -> None:
        super().__init__()
        self.concat, self.up = Concat(), nn.ConvTranspose2d(CHANNELS, CHANNELS, (1, 2), (1, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, dim=1)
        return self.up(self.concat(second, first)[..., 1::2])


SINGLE: tuple[Callable[[], nn.Module], ...] = (
    lambda: conv(CHANNELS, CHANNELS),
    lambda: conv(CHANNELS, CHANNELS, nn.ReLU()),
    lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=2, dilation=2, groups=2),
    lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS),
    lambda: nn.MaxPool2d(3, 1, 1),
    lambda: nn.AvgPool2d(3, 1, 1),
    lambda: nn.Sequential(nn.MaxPool2d(1, 2), Interpolate(2, "nearest"), one_row_less()),
    lambda: nn.Sequential(
        nn.ZeroPad2d((0, 0, 0, 1)), nn.MaxPool2d(2), Interpolate(), nn.Conv2d(CHANNELS, CHANNELS, (2, 1))
    ),
    lambda: nn.Sequential(nn.MaxPool2d(1, 2), nn.ConvTranspose2d(CHANNELS, CHANNELS, (3, 4), 2, 1, (0, 0), groups=2)),
    lambda: nn.Sequential(nn.Conv2d(CHANNELS, 4 * CHANNELS, 1, 2), nn.PixelShuffle(2), one_row_less()),
    Halves,
    nn.ReLU,
    *(kind for kind in LUT_FUNCTIONS if kind is not Exp),
)
PAIRS = (Add, Sub, Mul)


class RandomNetwork(nn.Module):
    """`length` operations on values of one shape; each reads values drawn from those before it."""

    def __init__(self, seed: int, length: int = 9) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.stem = conv(3, CHANNELS)
        self.steps, self.plan = nn.ModuleList(), []
        for index in range(1, length + 1):
            kind = str(rng.choice(["single", "single", "pair", "concat", "gate"]))
            first, second = int(rng.integers(max(0, index - 3), index)), int(rng.integers(0, index))
            if kind == "pair" and first == second:  # x − x would be 0 for good
                kind = "concat"
            self.plan.append((kind, first, second))
            self.steps.append(self._step(kind, rng))

    def _step(self, kind: str, rng: np.random.Generator) -> nn.ModuleDict:
        if kind == "single":
            return nn.ModuleDict({"do": SINGLE[rng.integers(len(SINGLE))]()})
        if kind == "pair":
            return nn.ModuleDict({"do": PAIRS[rng.integers(len(PAIRS))]()})
        return nn.ModuleDict({"do": Mul(), "gate": gate()} if kind == "gate" else {"do": Concat(), "narrow": narrow()})

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        values = [self.stem(x)]
        for step, (kind, first, second) in zip(self.steps, self.plan, strict=True):
            a, b = values[first], values[second]
            if kind == "single":
                values.append(step["do"](a))
            elif kind == "gate":
                values.append(step["do"](a, step["gate"](b)))
            elif kind == "pair":
                values.append(step["do"](a, b))
            else:
                values.append(step["narrow"](step["do"](a, b)))
        return {"last": values[-1], "middle": values[len(values) // 2]}


RULES: tuple[dict, ...] = (
    {},
    {"inner.stem.*": dict(scale=2**-4)},
    {"type:Conv2d": dict(learn=True), "quant": dict(absmax=2)},
)


@st.composite
def qconfigs(draw: st.DrawFn, march: str) -> QConfig:
    arithmetic = get_march(march).arithmetic
    observer = st.sampled_from(["min_max", "percentile", "mse"])
    return QConfig(
        activation={"observer": draw(observer), "learn": draw(st.booleans())},
        weight={"dtype": draw(st.sampled_from(arithmetic.weight_dtypes))},
        rules=draw(st.sampled_from(RULES)),
        scale_grid=draw(st.sampled_from(arithmetic.scale_grids)),
        weight_scales=draw(st.sampled_from(arithmetic.weight_scales)),
        large_bias=draw(st.sampled_from(arithmetic.large_biases)),
        bn=draw(st.sampled_from(["freeze", "train"])),
        march=march,
    )


@pytest.mark.parametrize("march", SIGNED_MARCHES)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.data())
def test_every_value_is_equal(march: str, seed: int, data: st.DataObject) -> None:
    qconfig = data.draw(qconfigs(march))
    graph = calibrated(lambda: RandomNetwork(seed), seed, qconfig)
    assert differing(graph, images(2, *SIZE, seed=seed, full_scale=seed % 2 == 0)) == 0
    train_a_little(graph, images(2, *SIZE, seed=seed + 1))
    graph.refresh()
    assert differing(graph, images(1, *SIZE, seed=seed + 2)) == 0
