"""Differences and products: all 65,536 pairs, and the same integers on all sides."""

import numpy as np
import pytest
import torch
from operator_networks import MARCH, assert_exact, calibrated, conv, lowered
from torch import nn

from hatlite.errors import ProgramError
from hatlite.executor import Executor
from hatlite.lowering import lower
from hatlite.nn import Concat, Mul, Sub
from hatlite.ops.integer.engine_rules import ADD_RULES, CONV_RULES
from hatlite.ops.integer.fixed_point import requantize
from hatlite.program import IntProgram, Port
from hatlite.program import Sub as SubOperator
from hatlite.quantization import QConfig
from hatlite.quantization.sites import MulSite, Site, SubSite


class Pair(nn.Module):
    """Two convolutions and what becomes of them."""

    def __init__(self, join: nn.Module, *after: nn.Module, unsigned: bool = False) -> None:
        super().__init__()
        self.first, self.second = conv(3, 4, nn.ReLU()), conv(3, 4, *[nn.ReLU()] * unsigned)
        self.join, self.after = join, nn.Sequential(*after, nn.Conv2d(4, 3, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.join(self.first(x), self.second(x)))


class Gated(nn.Module):
    """One factor per channel: a squeeze and excitation without its sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.pool, self.gate = conv(3, 4, nn.ReLU()), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1)
        self.mul = Mul()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.mul(x, self.gate(self.pool(x)))


class Joined(nn.Module):
    """A product and a difference whose scale is that of a group."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(3, 4), conv(3, 4)
        self.mul, self.sub, self.concat = Mul(), Sub(), Concat()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.first(x), self.second(x)
        return self.concat(self.mul(a, b), self.sub(b, a), a)


NETWORKS = {
    "sub": lambda: Pair(Sub()),
    "sub relu": lambda: Pair(Sub(), nn.ReLU()),
    "mul": lambda: Pair(Mul()),
    "mul relu": lambda: Pair(Mul(), nn.ReLU()),
    "mul unsigned": lambda: Pair(Mul(), unsigned=True),
    "gated": Gated,
    "joined": Joined,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_value_is_equal(name: str) -> None:
    assert_exact(calibrated(NETWORKS[name]))


@pytest.mark.parametrize("name", ["sub", "mul", "gated"])
@pytest.mark.parametrize("pattern", ["*", "*.second.0"])
def test_every_value_is_equal_in_int16(name: str, pattern: str) -> None:
    if name == "gated":
        pattern = pattern.replace("second.0", "gate")
    assert_exact(calibrated(NETWORKS[name], qconfig=QConfig(rules={pattern: dict(dtype="int16")})))


def only(graph: nn.Module, kind: type[Site]) -> Site:
    (site,) = [site for site in graph.sites.values() if isinstance(site, kind)]
    return site


@pytest.mark.parametrize(("name", "kind"), [("sub", SubSite), ("mul", MulSite), ("mul relu", MulSite)])
def test_all_pairs_are_equal_and_proven(name: str, kind: type[Site]) -> None:
    """The definition, the training forward and both engines on every pair of integers there is."""
    graph = calibrated(NETWORKS[name])
    site = only(graph, kind)
    assert int(site.proven) == len(CONV_RULES if kind is MulSite else ADD_RULES)
    assert site.tail_dtype() == torch.float32
    a, b = np.meshgrid(np.arange(0, 256), np.arange(-128, 128), indexing="ij")
    multipliers, shift = site.multiplier.tolist(), int(site.shift)
    acc = a * multipliers[0] - b * multipliers[1] if kind is SubSite else a * b * multipliers[0]
    defined = requantize(acc, 1, shift, site.quant_min, site.quant_max)
    first, second = (torch.from_numpy(q).float()[None, None] for q in (a, b))
    assert (site.forward_integer(first, second)[0, 0].numpy() == defined).all()
    program = alone(lower(graph, MARCH), site)
    arrays = {"a": a.astype(np.uint8)[None, ..., None], "b": b.astype(np.int8)[None, ..., None]}
    for engine in ("reference", "float32"):
        assert (Executor(program, engine).run(arrays)["y"][0, ..., 0] == defined).all()


def alone(program: IntProgram, site: Site) -> IntProgram:
    """Return a program of one operator on (256, 256, 1)."""
    (op,) = [op for op in program.ops if op.name == site.name]
    shape = (256, 256, 1)
    names = (*op.inputs, op.output)
    values = {name: type(program.values[name])(shape, program.values[name].dtype, 1.0) for name in names}
    ports = [Port(key, name, values[name].dtype, 1.0) for key, name in zip(("a", "b", "y"), names, strict=True)]
    return IntProgram("pair", program.march, tuple(ports[:2]), (ports[2],), (op,), values)


@pytest.mark.parametrize(
    ("name", "kind", "dtype"),
    [
        ("sub", SubSite, "int8"),
        ("sub relu", SubSite, "uint8"),
        ("mul", MulSite, "int8"),
        ("mul unsigned", MulSite, "uint8"),
    ],
)
def test_types_follow_from_what_is_provably_nonnegative(name: str, kind: type[Site], dtype: str) -> None:
    assert only(calibrated(NETWORKS[name]), kind).dtype == dtype


def test_a_difference_is_an_operator_of_its_own() -> None:
    op = next(op for op in lowered(calibrated(NETWORKS["sub"])).ops if isinstance(op, SubOperator))
    assert op.kind == "sub"
    assert op.signed_multipliers == (op.multipliers[0], -op.multipliers[1])
    assert min(op.multipliers) > 0


@pytest.mark.parametrize("name", ["sub", "mul", "gated"])
def test_gradients_are_those_of_the_real_formula(name: str) -> None:
    site = only(calibrated(NETWORKS[name]), SubSite if name == "sub" else MulSite)
    low = [torch.randint(0, 40, (2, 4, 5, 6)).float(), torch.randint(-40, 40, (2, 4, 5, 6)).float()]
    if name == "gated":
        low[1] = low[1][..., :1, :1]
    inputs = [q.requires_grad_() for q in low]
    y = site.forward_integer(*inputs)
    assert (y.abs() < 127).any()
    upstream = torch.randn_like(y)
    y.backward(upstream)
    real = [q.detach().double().requires_grad_() for q in inputs]
    a, b = (q * float(source.scale) for q, source in zip(real, site.inputs, strict=True))
    unrounded = (a - b if name == "sub" else a * b) / float(site.scale)
    inside = (unrounded >= site.quant_min - 0.5) & (unrounded <= site.quant_max + 0.5)
    unrounded.backward(upstream.double() * inside)
    for ours, theirs in zip(inputs, real, strict=True):
        torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-4, atol=1e-5)


class Crossed(nn.Module):
    """The gate comes first, which no engine knows."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.mul = nn.AdaptiveAvgPool2d(1), Mul()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mul(self.pool(x), x)


def test_a_gate_stands_second() -> None:
    with pytest.raises(ProgramError, match=r"mul 'inner_mul' .* multiplies \(1, 1, 3\) by \(11, 14, 3\); expected one"):
        lower(calibrated(Crossed), MARCH)
