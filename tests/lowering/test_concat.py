"""Concatenation: one scale for all parts, the same integers on all sides."""

import pytest
import torch
from networks import images
from operator_networks import SIZE, Stubbed, assert_exact, calibrated, conv
from torch import nn

from hatlite.errors import CaptureError
from hatlite.lowering import lower
from hatlite.march import get_march
from hatlite.nn import Add, Concat, Interpolate
from hatlite.ops.integer.engine_rules import ADD_RULES
from hatlite.program import Concat as ConcatOperator
from hatlite.program import Rescale
from hatlite.quantization import QConfig, prepare


class Parts(nn.Module):
    """Convolutions joined; `case` says of what."""

    def __init__(self, case: str) -> None:
        super().__init__()
        self.case = case
        self.small, self.large = conv(3, 4, nn.ReLU()), conv(4, 4, nn.ReLU())
        self.signed, self.after, self.other = conv(3, 2), conv(8, 5, nn.ReLU()), conv(3, 4)
        self.concat, self.add, self.pool = Concat(), Add(), nn.MaxPool2d(3, 1, 1)
        self.up, self.shrink = Interpolate(), nn.MaxPool2d(2, 2)
        self.mixed = nn.Conv2d(6, 3, 1)
        nn.init.normal_(self.large[1].weight, 3.0, 0.5)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return getattr(self, "_" + self.case)(x)

    def _unsigned(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        a = self.small(x)
        return {"y": self.after(self.concat(a, self.large(a)))}

    def _signed(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """The pool before the concatenation is made before the group turns signed."""
        return {"y": self.mixed(self.concat(self.pool(self.small(x)), self.signed(x)))}

    def _image(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": self.concat(x, self.small(x), self.pool(x))}

    def _same(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": self.concat(x, self.pool(x), x), "z": self.small(x)}

    def _bilinear(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        a = self.shrink(self.small(x))
        return {"y": self.concat(a, self.shrink(self.up(a)), self.large(a))}

    def _added(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Additions inside the group: of its members, of outsiders, and of an addition outside."""
        a = self.small(x)
        b = self.large(a)
        first, second = self.add(a, b), self.add(b, self.other(x))
        third = self.add(second, a)
        return {"y": self.concat(a, first, third), "z": self.concat(second, second)}

    def _chained(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Two concatenations share a part, so that there is one group."""
        a, b = self.small(x), self.signed(x)
        return {"y": self.concat(a, b), "z": self.concat(b, self.pool(b), self.large(a))}


CASES = ("unsigned", "signed", "image", "same", "bilinear", "added", "chained")


@pytest.mark.parametrize("case", CASES)
def test_every_value_is_equal(case: str) -> None:
    assert_exact(calibrated(lambda: Parts(case)))


@pytest.mark.parametrize("case", ["signed", "added"])
@pytest.mark.parametrize("pattern", ["*", "*.small.0"])
def test_every_value_is_equal_in_int16(case: str, pattern: str) -> None:
    assert_exact(calibrated(lambda: Parts(case), qconfig=QConfig(rules={pattern: dict(dtype="int16")})))


def test_the_group_has_the_largest_scale_of_its_parts() -> None:
    sites = calibrated(lambda: Parts("unsigned")).sites
    alone = [sites[name].ideal_scale() for name in ("inner_small_0", "inner_large_0")]
    assert alone[0] < alone[1]
    for name in ("inner_small_0", "inner_large_0", "inner_concat"):
        assert float(sites[name].scale) == alone[1]
        assert sites[name].dtype == "uint8"


def test_one_signed_part_makes_all_signed() -> None:
    sites = calibrated(lambda: Parts("signed")).sites
    names = ("inner_small_0", "inner_pool", "inner_signed_0", "inner_concat")
    assert {(sites[name].dtype, float(sites[name].scale)) for name in names} == {
        ("int8", sites["inner_small_0"].ideal_scale())
    }
    assert sites["inner_small_0"].quant_min == 0  # the ReLU stays


def test_a_part_with_a_fixed_scale_is_rescaled() -> None:
    graph = calibrated(lambda: Parts("image"))
    ops = lower(graph, get_march("bayes-sim")).ops
    rescales = [op for op in ops if isinstance(op, Rescale)]
    assert [op.inputs for op in rescales] == [("quant",), ("inner_pool",)]
    (concat,) = [op for op in ops if isinstance(op, ConcatOperator)]
    assert concat.inputs == ("inner_concat_rescale_0", "inner_small_0", "inner_concat_rescale_2")
    assert float(graph.sites["quant"].scale) == 1 / 128


def test_parts_of_one_source_need_no_rescale_whatever_its_scale() -> None:
    graph = calibrated(lambda: Parts("same"))
    assert not any("rescale" in name for name in graph.sites)
    assert float(graph.sites["inner_concat"].scale) == 1 / 128
    assert not graph.scale_groups


def test_an_image_without_a_fixed_scale_joins_the_group() -> None:
    graph = calibrated(lambda: Parts("image"), scale=None)
    assert not any("rescale" in name for name in graph.sites)
    assert float(graph.sites["quant"].scale) == float(graph.sites["inner_small_0"].scale)
    assert_exact(graph)


def test_additions_in_a_group_keep_their_proof() -> None:
    graph = calibrated(lambda: Parts("added"))
    adds = [site for site in graph.sites.values() if site.path == "inner.add"]
    assert [site.tied for site in adds] == [True, False, True]
    assert [int(site.proven) for site in adds] == [len(ADD_RULES)] * 3


def test_calibrating_again_forgets_the_first_time() -> None:
    graph = calibrated(lambda: Parts("added"))
    before = {name: float(site.scale) for name, site in graph.sites.items()}
    graph.finish_calibration()
    assert {name: float(site.scale) for name, site in graph.sites.items()} == before


def test_chained_concatenations_are_one_group() -> None:
    (group,) = calibrated(lambda: Parts("chained")).scale_groups
    assert {site.name for site in group.members} == {"inner_small_0", "inner_signed_0", "inner_large_0"}


class Nothing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.concat = Concat()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.concat()


def test_nothing_to_join_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"inner.concat \(.*:\d+\): Concat takes one tensor or more"):
        prepare(Stubbed(Nothing()), QConfig(), images(1, *SIZE))
