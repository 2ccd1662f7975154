"""What the tool says, writes and how it ends."""

import dataclasses
import json
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from hatlite.command import run_tool
from hatlite.march import MARCHES, get_march

ROOT = Path(__file__).parents[2]
B0 = ROOT / "configs" / "detection" / "fcos" / "fcos_efficientnetb0_bccd.py"
Tool = Callable[..., tuple[int, str]]

TYPES = """
from torch import nn

from hatlite.nn import DeQuantStub, QuantStub
from hatlite.registry import OBJECT_REGISTRY


@OBJECT_REGISTRY.register
class CheckedPart(nn.Sequential):
    def __init__(self, activation: str) -> None:
        super().__init__(nn.Conv2d(3, 4, 3, padding=1), getattr(nn, activation)())


@OBJECT_REGISTRY.register
class CheckedModel(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.quant, self.backbone, self.dequant = QuantStub(1 / 128), backbone, DeQuantStub()

    def forward(self, img):
        return {"y": self.dequant(self.backbone(self.quant(img)))}
"""

CONFIG = """
task_name = "own"
activation = "SiLU"
custom_imports = ["own_checked_types"]
model = dict(
    type="CheckedModel",
    backbone=dict(type="CheckedPart", activation=activation),
)
march = "bayes-sim"
"""


@pytest.fixture
def tool(capsys: pytest.CaptureFixture[str]) -> Tool:
    """Run the tool with arguments; return its exit code and what it said."""
    module = runpy.run_path(str(ROOT / "tools" / "model_checker.py"))

    def call(*words: object) -> tuple[int, str]:
        arguments = module["parser"]().parse_args([str(word) for word in words])
        code = run_tool(lambda: module["main"](arguments))
        return code, "".join(capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config with a model of the user's own, which is no detector and has neither data nor a checkpoint."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_checked_types.py").write_text(TYPES, encoding="utf-8")
    (folder / "own.py").write_text(CONFIG, encoding="utf-8")
    return folder / "own.py"


def test_fcos_runs_without_data_and_without_a_checkpoint(tool: Tool) -> None:
    code, said = tool("--config", B0, "--input-shape", "1,3,128,128")
    assert (code, said) == (
        0,
        "All operators run on bayes-sim at 1×3×128×128: 197 conv2d, 42 add, 14 max_pool2d, 12 resize_bilinear2x.\n",
    )


def test_fcos_runs_on_a_march_that_only_shifts(tool: Tool) -> None:
    code, said = tool("--config", B0, "--input-shape", "1,3,128,128", "--opts", "march=tidl")
    assert code == 0 and said.startswith("All operators run on tidl at 1×3×128×128: 197 conv2d, 42 add"), said


def test_what_exceeds_a_smaller_march_is_told_with_the_line_of_the_config(tool: Tool, tmp_path: Path) -> None:
    limits = dataclasses.replace(get_march("bayes-sim").limits, channels=1000)
    MARCHES["narrow"] = dataclasses.replace(get_march("bayes-sim"), name="narrow", limits=limits)
    try:
        words = ("--config", B0, "--input-shape", "1,3,128,128", "--opts", "march=narrow")
        code, said = tool(*words, "--json", tmp_path / "check.json")
    finally:
        del MARCHES["narrow"]
    assert code == 1 and f"Written: {tmp_path / 'check.json'}" in said
    written = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    wrong = [row for row in written["operators"] if row["verdict"] == "exceeds the march"]
    assert wrong and not written["runs"] and len(written["operators"]) > 200
    assert {row["module"].split(".")[0] for row in wrong} == {"backbone"}
    assert all("channels is 1152, the march allows at most 1000" in row["reason"] for row in wrong)
    entry, place = wrong[0]["config"].split(" ")
    file, line = place.strip("()").rsplit(":", 1)
    assert entry == "config['model']['backbone']"
    assert "backbone=" in Path(file).read_text(encoding="utf-8").splitlines()[int(line) - 1]
    assert said.count("| exceeds the march |") == len(wrong)


def test_a_model_of_ones_own_is_checked_like_any_other(tool: Tool, own: Path) -> None:
    assert tool("-c", own, "--input-shape", "1,3,8,8")[0] == 0
    code, said = tool("-c", own, "--input-shape", "1,3,8,8", "--opts", "activation=GELU")
    assert code == 1
    assert "| GELU | backbone.1 | " in said and f"config['model']['backbone'] ({own}:7)" in said
    assert "1 problems" not in said and "1 problem keeps the network from running" in said
    code, said = tool("-c", own, "--all", "--input-shape", "1,3,8,8")
    assert code == 0 and "| lut | backbone.1 |" in said and "| conv2d | backbone.0 |" in said


def test_what_cannot_be_checked_ends_with_two(tool: Tool, own: Path) -> None:
    code, said = tool("-c", own, "--input-shape", "1,4,8,8")
    assert code == 2 and said.startswith(
        "CaptureError: The network cannot be checked, because it does not run in float"
    )
    code, said = tool("-c", own)
    assert code == 2 and "neither deploy_inputs nor val_data_loader" in said and '--input-shape "1,3,512,512"' in said
    code, said = tool("-c", own, "--input-shape", "1,3,8,8", "--opts", "march=bayes-sin")
    assert code == 2 and "march is 'bayes-sin', which is not registered." in said
    code, said = tool("-c", own, "--input-shape", "8x8")
    assert code == 2 and "expected four whole numbers N,C,H,W above 0" in said
    code, said = tool("-c", own.with_name("none.py"))
    assert code == 2 and "There is no config file" in said


def test_missing_data_are_answered_with_the_way_without(tool: Tool, tmp_path: Path) -> None:
    lines = [
        "from configs.detection.fcos.fcos_efficientnetb0_mscoco import *",
        "del deploy_inputs",
        f"dataset = dict(val_data_loader['dataset'], data_path={str(tmp_path / 'none')!r})",
        "val_data_loader = dict(val_data_loader, dataset=dataset)",
    ]
    (tmp_path / "sizeless.py").write_text("\n".join(lines), encoding="utf-8")
    code, said = tool("-c", tmp_path / "sizeless.py")
    assert code == 2 and 'Without data give the size of the image, such as --input-shape "1,3,512,512".' in said


def test_a_config_without_a_model_says_so(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("task_name = 'empty'\n", encoding="utf-8")
    code, said = tool("-c", tmp_path / "empty.py", "--input-shape", "1,3,8,8")
    assert code == 2 and "empty.py sets no model; name the detector's dict `model`." in said
