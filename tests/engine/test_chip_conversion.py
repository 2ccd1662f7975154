"""What is written beside a run whose program is at hand; the way from a checkpoint is a matter of lower_stage."""

import json
from dataclasses import replace

import pytest
from gnetdet_programs import gnetdet_program

from hatlite.chip import read_chip_model
from hatlite.engine import Run, chip_conversion, convert_to_chip
from hatlite.engine.chip_infer import ChipDetector
from hatlite.engine.chip_settings import THRESHOLDS, find_settings, read_settings
from hatlite.errors import ConfigError, MarchError, OutputError, ProgramError
from hatlite.program import dumps, load, save

STAGES = [{"name": "qat_31", "kind": "qat"}, {"name": "int_infer", "kind": "int_infer", "starts_from": "qat_31"}]


@pytest.fixture
def run(tmp_path):
    """A run with a program of 224."""
    config = {"task_name": "tiny", "ckpt_dir": str(tmp_path / "run"), "march": "gti5801", "stages": STAGES}
    run = Run({**config, "num_classes": 1, "classes": ["head"]})
    save(gnetdet_program(224), run.program())
    return run


def test_five_files_in_a_folder_of_the_run(run):
    files = convert_to_chip(run, run.program())
    folder = run.folder / "model"
    names = ["5801_gnetdet_dat.json", "5801_gnetdet_model.json", "GNetDet.yaml", "out.model", "relu_cap.txt"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert files.model == folder / "out.model"
    assert dumps(read_chip_model(files.model)) == run.program().read_bytes()
    caps = [float(line) for line in files.caps.read_text().splitlines()]
    assert caps == load(run.program()).metadata["caps"] and len(caps) == 16
    assert len(json.loads(files.layers.read_text())["layer"]) == 6
    assert json.loads(files.network.read_text())["version"] == 100


def test_its_settings_are_found_and_agree_with_it(run):
    run.config["prob_thresh"] = 0.25
    files = convert_to_chip(run, run.program())
    assert find_settings(files.model) == files.settings
    said = read_settings(files.settings)
    detector = ChipDetector(files.model, said)  # which compares them
    assert said.thresholds() == {**THRESHOLDS, "prob_thresh": 0.25}
    assert detector.model.post_process.score_threshold == 0.25
    other = replace(said, values={**said.values, "MODEL.OUTPUT.CAP": 1.1554})
    with pytest.raises(ConfigError, match=r"GNetDet.yaml: MODEL.OUTPUT.CAP is 1.1554, but .*out.model has the cap 1;"):
        other.check(files.program, files.model)


def test_names_of_448(run):
    save(gnetdet_program(448), run.program())
    files = convert_to_chip(run, run.program())
    assert (files.layers.name, files.network.name) == ("5801_gnetdet_dat_448.json", "5801_gnetdet_model_448.json")


@pytest.mark.parametrize(("out", "written"), [("mine.model", "mine.model"), ("there", "there/out.model")])
def test_another_place(run, tmp_path, out, written):
    files = convert_to_chip(run, run.program(), tmp_path / out)
    assert files.model == tmp_path / written and files.model.is_file()
    assert files.caps.parent == files.model.parent and files.caps.is_file()


def test_without_a_program_it_is_lowered(run, monkeypatch):
    asked = []

    def lower(run, checkpoint):
        asked.append(checkpoint)
        return load(run.program())

    monkeypatch.setattr(chip_conversion, "lower_stage", lower)
    assert convert_to_chip(run).model.is_file()
    assert convert_to_chip(run, "qat_31-checkpoint-last.pth.tar").model.is_file()
    assert asked == [None, "qat_31-checkpoint-last.pth.tar"]


def test_what_the_host_has_to_know_travels_along(run):
    run.config["conf_thresh"] = 0.48
    copy = read_chip_model(convert_to_chip(run, run.program()).model)
    assert copy.metadata == {**load(run.program()).metadata, "thresholds": {"conf_thresh": 0.48}}
    assert dumps(replace(copy, metadata={})) == dumps(replace(load(run.program()), metadata={}))


def test_results_of_inner_layers(run):
    def asked(**kinds):
        layers = json.loads(convert_to_chip(run, run.program(), **kinds).layers.read_text())["layer"]
        return [[layer["major_layer"] for layer in layers if layer[kind]] for kind in ("learning", "last_layer_out")]

    assert asked() == [[], []]
    assert asked(learning="all") == [[1, 2, 3, 4, 5, 6], []]
    assert asked(last_layer_out=[2]) == [[], [2]]


def test_nothing_is_written_where_something_is_wrong(run, tmp_path):
    with pytest.raises(MarchError, match="the chip does not mix the two"):
        convert_to_chip(run, run.program(), learning="all", last_layer_out=[1])
    broken = gnetdet_program(224)
    save(replace(broken, metadata={**broken.metadata, "caps": []}), tmp_path / "other.hbir")
    with pytest.raises(MarchError, match="its caps are \\[\\]; expected 16 numbers"):
        convert_to_chip(run, tmp_path / "other.hbir")
    save(gnetdet_program(224, ["a", "b"], num_classes=2), tmp_path / "other.hbir")
    with pytest.raises(ProgramError, match=r"other.hbir belongs to another config: its num_classes is 2 and not 1"):
        convert_to_chip(run, tmp_path / "other.hbir")
    assert not (run.folder / "model").exists()


def test_a_place_that_cannot_be_written_is_told_before_the_checkpoint_is_lowered(run, monkeypatch):
    monkeypatch.setattr(chip_conversion, "lower_stage", lambda *asked: pytest.fail("it was lowered"))
    for out in ("/dev/null", "/proc/x", "/proc/x.model"):
        with pytest.raises(OutputError, match=f"{out}(/out.model)? cannot be written"):
            convert_to_chip(run, None, out)
