"""Capture names every call, its module path and its source line, and refuses the rest with the same facts."""

import pytest
import torch
from networks import LEVELS, ProofNetwork
from torch import nn

from hatlite.errors import CaptureError
from hatlite.graph import capture
from hatlite.nn import DeQuantStub, DropPath, QuantStub, RaisableReLU


def test_a_shared_module_has_one_call_per_level() -> None:
    captured = capture(ProofNetwork())
    towers = [call for call in captured.calls if call.path == "head.tower"]
    assert len(towers) == LEVELS
    assert len({call.name for call in towers}) == LEVELS
    assert len({id(call.module) for call in towers}) == 1


def test_calls_know_their_source_line() -> None:
    stem = next(call for call in capture(ProofNetwork()).calls if call.path == "backbone.stem")
    file, line = stem.line.rsplit(":", 1)
    assert file == "tests/networks.py"
    with open(__file__.replace("graph/test_capture.py", "networks.py"), encoding="utf-8") as source:
        assert "self.stem(x)" in source.readlines()[int(line) - 1]


def test_outputs_keep_their_names_and_inputs_their_order() -> None:
    captured = capture(ProofNetwork())
    assert list(captured.outputs)[:3] == ["cls_s2", "box_s2", "centerness_s2"]
    add = next(call for call in captured.calls if call.path == "backbone.blocks.0.add")
    assert add.inputs[1].startswith("backbone_blocks_0_bn3")


class Wrapper(nn.Module):
    """One inner module between the stubs."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.quant, self.inner, self.dequant = QuantStub(1 / 128), inner, DeQuantStub()

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": self.dequant(self.inner(self.quant(img)))}


class PlusOne(nn.Module):
    """An operation that is no module."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


class Branches(nn.Module):
    """Control flow that depends on a value."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


class Looks(nn.Module):
    """A branch on a comparison alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x:
            return x
        return self.missing(x)


class Counts(nn.Module):
    """A length, which torch.fx refuses with an error of another type."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if len(x) else -x


@pytest.mark.parametrize("inner", [PlusOne(), Branches(), Looks(), Counts()])
def test_what_is_no_module_call_is_refused_with_path_and_line(inner: nn.Module) -> None:
    with pytest.raises(CaptureError, match=r"inner \(tests/graph/test_capture.py:\d+\) cannot be captured") as caught:
        capture(Wrapper(inner))
    assert caught.value.name == "inner"


class Scaled(nn.Module):
    """Takes an argument that is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(input=x)


def test_keyword_arguments_are_refused() -> None:
    with pytest.raises(CaptureError, match="a module takes tensors only, by position"):
        capture(Wrapper(Scaled()))


class TwoImages(nn.Module):
    """More than one input."""

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": left}


def test_one_image_is_expected() -> None:
    with pytest.raises(CaptureError, match=r"takes 2 inputs \(left, right\)"):
        capture(TwoImages())


class Nameless(Wrapper):
    """Returns a tensor instead of a dict."""

    def forward(self, img: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return self.quant(img)


def test_outputs_need_names() -> None:
    with pytest.raises(CaptureError, match="returns no dict of tensors"):
        capture(Nameless(PlusOne()))


@pytest.mark.parametrize("training", [True, False])
def test_a_drop_path_is_one_call_in_either_mode(training: bool) -> None:
    network = Wrapper(DropPath(0.5)).train(training)
    assert [call.path for call in capture(network).calls] == ["quant", "inner", "dequant"]


@pytest.mark.parametrize("training", [True, False])
def test_a_relu_that_learns_otherwise_is_one_call(training: bool) -> None:
    network = Wrapper(RaisableReLU()).train(training)
    assert [call.path for call in capture(network).calls] == ["quant", "inner", "dequant"]
