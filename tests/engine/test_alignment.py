"""int_infer proves its program equal to the graph, or stops."""

import json

import pytest
import torch

from hatlite.engine import Run, align_stage, run_stage
from hatlite.engine.alignment import validation_images
from hatlite.errors import ConfigError, StageError
from hatlite.quantization.sites import ConvSite


@pytest.fixture
def run(tiny_config):
    """A run that has calibrated."""
    run = Run(tiny_config)
    run_stage(run, "float")
    run_stage(run, "calibration")
    return run


def test_int_infer_writes_the_report_and_the_tool_can_repeat_it(run):
    run_stage(run, "int_infer")
    found = json.loads((run.folder / "alignment.json").read_text(encoding="utf-8"))
    assert (found["images"], found["passed"], found["modes"]) == (2, True, ["eval", "train"])
    report = align_stage(run, 3)
    assert report.passed and report.images == 3
    assert json.loads((run.folder / "alignment.json").read_text(encoding="utf-8"))["images"] == 3


def test_a_difference_stops_the_stage_and_names_the_layer(run, monkeypatch, capsys):
    honest = ConvSite.forward_integer
    monkeypatch.setattr(ConvSite, "forward_integer", lambda site, x: honest(site, x) + float(site.name == "head"))
    said = r"tiny.hbir does not compute what was trained: conv2d 'head' \(head .*\): 128 of 256 integers .* 1 LSB"
    with pytest.raises(StageError, match=said.replace("128 of 256", r"\d+ of 256")):
        run_stage(run, "int_infer")
    title, worst, *_ = capsys.readouterr().out.splitlines()[-4:]
    assert title.split()[:6] == ["layer", "kind", "dtype", "integers", "differ", "max"]
    assert worst.split()[:4] == ["head", "conv2d", "int16", "256"] and worst.split()[5] == "1"
    assert not json.loads((run.folder / "alignment.json").read_text(encoding="utf-8"))["passed"]


def test_no_images_no_check(run, caplog):
    run.config["align_images"] = 0
    run_stage(run, "int_infer")
    assert not (run.folder / "alignment.json").exists()
    assert "align_images is 0: nothing shows that the program computes what was trained." in caplog.text


@pytest.mark.parametrize("value", [-1, 1.5, True, "2"])
def test_align_images_is_a_count(run, value):
    run.config["align_images"] = value
    with pytest.raises(
        ConfigError, match=rf"config\['align_images'\] is {value!r}; expected a whole number from 0 up\."
    ):
        run_stage(run, "int_infer")


def test_validation_images_come_one_by_one_and_end(tiny_config):
    run = Run(tiny_config)
    three = list(validation_images(run, 3))
    assert [img.shape for img in three] == [torch.Size([1, 3, 8, 8])] * 3
    assert len(list(validation_images(run, 99))) == 4


def test_without_a_program_or_the_stage_there_is_a_sentence(tiny_config):
    run = Run(tiny_config, source="c.py")
    with pytest.raises(StageError, match=r"There is no program .*tiny.hbir\.\n  Export it first: .*export_hbir.py"):
        align_stage(run, 1)
    with pytest.raises(StageError, match=r"The config lists no stage of kind 'int_infer', so there is no program"):
        align_stage(Run({**tiny_config, "stages": [{"name": "float", "kind": "float"}]}), 1)
