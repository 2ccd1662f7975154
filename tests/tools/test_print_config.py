"""What the tool prints and writes."""

import json
import runpy
from pathlib import Path

import pytest

from hatlite.command import run_tool

ROOT = Path(__file__).parents[2]
RESNET = ROOT / "configs" / "detection" / "ssd" / "ssd_resnet50_fpn_512_voc.py"


def call(*words: object) -> int:
    tool = runpy.run_path(str(ROOT / "tools" / "print_config.py"))
    arguments = tool["parser"]().parse_args([str(word) for word in words])
    return run_tool(lambda: tool["main"](arguments))


def test_siblings_are_merged_and_what_was_filled_in_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(RESNET, "--opts", "num_epochs=2", "model.head.int16_output=False") == 0
    said = capsys.readouterr().out
    assert '\nmodel = dict(\n    type="SSD",\n' in said
    assert "\n    num_epochs=2,\n" in said and "\n        int16_output=False,\n" in said
    assert "\n# filled in\ndeploy_model = dict(\n" in said
    assert "\nfloat_trainer = dict(\n" in said and "\n    model=model,\n" in said


def test_one_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(RESNET, "--key", "model.backbone", "--json", tmp_path / "part.json") == 0
    assert capsys.readouterr().out == 'dict(type="ResNet", depth=50)\n'
    assert json.loads((tmp_path / "part.json").read_text(encoding="utf-8")) == {"type": "ResNet", "depth": 50}
    assert call(RESNET, "--key", "float_trainer.callbacks.0.log_freq") == 0
    assert capsys.readouterr().out == "50\n"


def test_the_stage_reaches_the_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "staged.py"
    file.write_text('import os\n\ntask_name = os.environ.get("HAT_TRAINING_STEP", "none")\n')
    assert call(file, "--stage", "qat", "--key", "task_name") == 0
    assert capsys.readouterr().out == '"qat"\n'


def test_a_misspelt_stage_is_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "staged.py"
    file.write_text('task_name = "staged"\n')
    assert call(file, "--stage", "qta") == 2
    out, said = capsys.readouterr()
    assert out == "" and said.startswith(
        "StageError: There is no stage 'qta'; the stages are float, calibration, qat, "
    )
    assert said.endswith("\n  Did you mean 'qat'?\n")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("model.haed", "ConfigError: --key model.haed: config['model'] has no key 'haed'.\n  Did you mean 'head'?"),
        ("float_trainer.callbacks.9", "config['float_trainer']['callbacks'] is a list of 5; '9' is no index into it."),
        ("num_classes.x", "config['num_classes'] is 20 (int), which has no parts; name it as a whole."),
    ],
)
def test_a_key_that_leads_nowhere(key: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(RESNET, "--key", key) == 2
    assert said in capsys.readouterr().err
