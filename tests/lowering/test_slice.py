"""Constant parts of a tensor: chosen as the float network chooses, the same integers on all sides."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import images
from operator_networks import SIZE, Stubbed, assert_exact, calibrated, conv, differing, lowered
from torch import nn

from hatlite.errors import CaptureError
from hatlite.nn import Add, Concat
from hatlite.quantization import QConfig, prepare


class Part(nn.Module):
    """A convolution with 6 channels, `take` of it, and a convolution that reads it."""

    def __init__(self, take: Callable[[torch.Tensor], torch.Tensor], channels: int, before: type = nn.ReLU) -> None:
        super().__init__()
        self.first, self.take, self.last = conv(3, 6, before()), take, nn.Conv2d(channels, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.take(self.first(x)))


PARTS: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], int]] = {
    "channels": (lambda x: x[:, 1:4], 3),
    "from the end": (lambda x: x[:, -2:], 2),
    "every other pixel": (lambda x: x[..., ::2, 1::2], 6),
    "rows": (lambda x: x[:, :, 2:-1], 6),
    "all at once": (lambda x: x[:, ::3, 1:6:2, :4], 2),
    "narrow": (lambda x: x.narrow(1, 2, 3), 3),
    "torch.narrow": (lambda x: torch.narrow(x, dim=2, start=1, length=4), 6),
    "chunk": (lambda x: x.chunk(4, 1)[-1], 2),
    "torch.chunk": (lambda x: torch.chunk(x, 2, dim=1)[0], 3),
    "split": (lambda x: x.split([1, 5], dim=1)[1], 5),
    "torch.split": (lambda x: torch.split(x, 4, -3)[1], 2),
    "a part of a part": (lambda x: x.chunk(2, 1)[1][:, :2, 1:][:, 1:], 1),
}


@pytest.mark.parametrize("part", PARTS)
def test_every_value_is_equal(part: str) -> None:
    take, channels = PARTS[part]
    graph = calibrated(lambda: Part(take, channels))
    x = torch.randn(2, 6, *SIZE)
    sites = [site for site in graph.sites.values() if site.path == "inner" and "select" in site.name]
    taken = x
    for site in sites:
        taken = site.forward_float(taken)
        assert (site.dtype, float(site.scale)) == (site.inputs[0].dtype, float(site.inputs[0].scale))
    assert torch.equal(taken, take(x))
    assert_exact(graph)


ranges = st.tuples(st.integers(0, 2), st.sampled_from([None, 3, 5, -1]), st.sampled_from([None, 1, 2, 3]))


@settings(max_examples=12, deadline=None)
@given(st.tuples(ranges, ranges, ranges), st.sampled_from([nn.ReLU, nn.Identity]))
def test_any_ranges(drawn: tuple, before: type) -> None:
    index = (slice(None), *(slice(*part) for part in drawn))
    channels = torch.zeros(1, 6, 9, 9)[index].shape[1]
    graph = calibrated(lambda: Part(lambda x: x[index], channels, before))
    assert differing(graph, images(2, *SIZE, seed=4)) == 0


class Focus(nn.Module):
    """Space to depth: four pictures of every other pixel as channels of one."""

    def __init__(self) -> None:
        super().__init__()
        self.concat, self.conv, self.pad = Concat(), conv(12, 4, nn.ReLU()), nn.ZeroPad2d((0, 0, 0, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pad(x)
        return self.conv(self.concat(x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]))


def test_space_to_depth() -> None:
    graph = calibrated(Focus)
    assert not any("rescale" in name for name in graph.sites)  # all parts are of one source
    assert [op.kind for op in lowered(graph).ops] == ["pad", *["slice"] * 4, "concat", "conv2d"]
    assert_exact(graph)


class Branches(nn.Module):
    """Half of the channels goes on, the other half is joined again; a part that nothing reads is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(3, 6, nn.ReLU()), conv(3, 3)
        self.concat, self.add = Concat(), Add()

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        first, second = self.first(x).chunk(2, dim=1)
        _, last, _ = self.first(x).split(2, dim=1)
        return {"y": self.concat(first, self.second(second)), "z": last}


def test_parts_pass_their_group_on() -> None:
    graph = calibrated(Branches)
    members = ("inner_first_0", "inner_select_1", "inner_second_0", "inner_concat")
    assert len({(graph.sites[name].dtype, float(graph.sites[name].scale)) for name in members}) == 1
    assert sum(op.kind == "slice" for op in lowered(graph).ops) == 3
    assert_exact(graph)


class Refused(nn.Module):
    def __init__(self, take: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.take, self.conv = take, nn.Conv2d(3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.take(x))


CONSTANT = r"cannot be captured: what it takes depends on a value or a shape; write constant numbers"
WRONG: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], str]] = {
    "shape": (lambda x: x[:, : x.shape[1] // 2], "cannot be captured: getattr is not a module"),
    "tensor": (lambda x: x[:, x[0, 0, 0, 0] :], CONSTANT),
    "mask": (lambda x: x[:, torch.tensor([0, 2])], "cannot be captured: _tensor_constant0 is not a module"),
    "list": (lambda x: x[:, [0, 2]], "it indexes with something else than numbers and ranges; write ranges"),
    "new axis": (lambda x: x[:, None], "it indexes with something else than numbers and ranges"),
    "tuple": (lambda x: x.chunk(3, 1), "chunk and split give a tuple; take one of its parts"),
    "tuples": (lambda x: x.chunk(3, 1)[:2], "of chunk and split only single parts can be taken"),
    "lost axis": (lambda x: x[:, 0], r"of shape \(3, 11, 14\): it leaves 3 of 4 axes; take a range such as 3:4"),
    "nothing": (lambda x: x[:, 3:], r"of shape \(3, 11, 14\): it takes nothing of \(3, 11, 14\)"),
    "batch": (lambda x: x[:1], "it takes part of the batch; only channels, rows and columns can be chosen"),
    "too much": (lambda x: x.narrow(1, 2, 5), r"of shape \(3, 11, 14\): start .* exceeds dimension size"),
    "too few": (lambda x: x.chunk(2, 1)[2], r"of shape \(3, 11, 14\): tuple index out of range"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_constant_or_no_part_is_refused_with_its_place(case: str) -> None:
    take, message = WRONG[case]
    with pytest.raises(CaptureError, match=rf"inner(\.conv)? \(tests/lowering/test_slice.py:\d+\).*{message}"):
        prepare(Stubbed(Refused(take)), QConfig(), images(1, *SIZE))


def test_vectors_have_channels_alone() -> None:
    class Vector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(5, 6), nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.first(x)[:, ::2])

    torch.manual_seed(0)
    graph = prepare(Stubbed(Vector()), QConfig(), torch.zeros(1, 5))
    with torch.no_grad():
        graph(torch.rand(8, 5))
    graph.finish_calibration()
    (op,) = [op for op in lowered(graph).ops if op.kind == "slice"]
    assert (op.start, op.stop, op.step) == ((0, 0, 0), (1, 1, 5), (1, 1, 2))
