import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hatlite import program
from hatlite.engine import STAGE_KINDS, Run, predict_stage, restore, run_stage, stage_kind
from hatlite.engine.checkpoint import load_checkpoint, save_checkpoint
from hatlite.engine.inspection import lower_from_config
from hatlite.engine.parts import build_loop, build_model, build_predictor, check_model
from hatlite.errors import CheckpointError, ConfigError, ProgramError, StageError
from hatlite.registry import OBJECT_REGISTRY

ALL = ("float", "calibration", "qat", "int_infer")


def run_all(config, names=ALL):
    run = Run(config)
    for name in names:
        run_stage(run, name)
    return run, json.loads((run.folder / "stages.json").read_text())["stages"]


def test_four_stages_follow_one_another(tiny_config, capsys):
    run, rows = run_all(tiny_config)
    assert tuple(rows) == ALL
    assert [rows["int_infer"][key] for key in ("mAP", "AP50", "AP75")] == [rows["qat"]["mAP"]] * 3
    assert [rows[name]["gate"] for name in ALL] == [None, "mAP ≥ 90% of float", "mAP ≥ 98% of float", "equal to qat"]
    assert rows["int_infer"]["passed"] is True
    assert rows["float"]["passed"] is None
    assert rows["qat"]["difference_to_float"] == rows["qat"]["mAP"] - rows["float"]["mAP"]
    assert all(rows[name]["images"] == 4 and rows[name]["seconds"] > 0 for name in ALL)
    files = {file.name for file in run.folder.iterdir()}
    checkpoints = {f"{name}-checkpoint-{which}.pth.tar" for name in ALL[:3] for which in ("best", "last")}
    reports = {"stages.json", "stages.md", "calibration-ranges.md", "alignment.json"}
    reports |= {"certificate.json", "certificate.md", *(f"{name}-scalars.jsonl" for name in ALL[:3])}
    assert files == checkpoints | {f"{name}-config.json" for name in ALL} | {"tiny.hbir"} | reports
    assert (run.folder / "stages.md").read_text() in capsys.readouterr().out


def test_callbacks_of_a_stage_without_epochs_are_told(tiny_config, caplog):
    run_all(tiny_config, ("float", "calibration"))
    tiny_config["int_infer_trainer"] = {"type": "Trainer", "callbacks": [{"type": "Checkpoint", "name_prefix": "x-"}]}
    with caplog.at_level("INFO", "hatlite"):
        run_stage(Run(tiny_config), "int_infer")
    assert "config['int_infer_trainer']['callbacks'] have nothing to do: the stage has no epochs, and" in caplog.text


def test_the_program_carries_the_class_names_also_when_lowered_by_a_run_of_its_own(tiny_config):
    before, _ = run_all(tiny_config, ("float", "calibration"))
    names = load_checkpoint(before.checkpoint("calibration"))["classes"]
    run = Run(tiny_config)
    run_stage(run, "int_infer")
    assert names and program.load(run.program()).metadata["classes"] == names


def test_predict_measures_what_training_reported(tiny_config):
    run, rows = run_all(tiny_config)
    for name in ALL:
        assert predict_stage(run, name)["mAP"] == rows[name]["mAP"]


def test_a_checkpoint_of_another_stage_is_called_that(tiny_config, caplog):
    run, _ = run_all(tiny_config)
    with caplog.at_level("INFO", "hatlite"):
        for name, ckpt in (("float", "float"), ("qat", "qat"), ("int_infer", "calibration"), ("float", "qat")):
            predict_stage(run, name, run.checkpoint(ckpt))
    said = f"{run.checkpoint('qat')} is of stage 'qat'; its weights are looked at as stage 'float' has them."
    assert [message for message in caplog.messages if "is of stage" in message] == [said]


def test_a_stage_that_runs_again_replaces_its_row(tiny_config):
    run, before = run_all(tiny_config, ("float", "calibration"))
    run_stage(run, "float")
    after = json.loads((run.folder / "stages.json").read_text())["stages"]
    assert list(after) == ["float", "calibration"]
    assert after["float"]["mAP"] == before["float"]["mAP"]


def test_the_best_of_an_earlier_run_is_not_reported_as_this_ones(tiny_config):
    run_all(tiny_config, ("float",))
    callbacks = tiny_config["float_trainer"]["callbacks"]
    tiny_config["float_trainer"]["callbacks"] = [one for one in callbacks if one["type"] != "Validation"]
    with pytest.raises(StageError, match=r"float-checkpoint-best.pth.tar is of an earlier run: this one wrote no such"):
        run_stage(Run(tiny_config), "float")


def test_int_infer_may_start_from_calibration(tiny_config):
    _, rows = run_all(tiny_config, ("float", "calibration", "int_infer"))
    assert rows["int_infer"]["gate"] == "equal to calibration"
    assert rows["int_infer"]["passed"] is True


def test_without_validation_the_last_checkpoint_is_measured_once_when_asked_for(tiny_config):
    tiny_config["float_trainer"]["callbacks"] = [{"type": "Checkpoint"}]
    with pytest.raises(CheckpointError, match=r"float-checkpoint-best.*\n  Give the trainer .*stage_checkpoint='last'"):
        run_all(tiny_config, ["float"])
    run, rows = run_all({**tiny_config, "stage_checkpoint": "last"}, ["float", "calibration"])
    assert rows["float"]["checkpoint"] == "float-checkpoint-last.pth.tar"
    assert rows["float"]["mAP"] == predict_stage(run, "float")["mAP"]


def test_advice_that_is_followed_already_is_not_given(tiny_config):
    tiny_config["float_trainer"]["num_epochs"] = 0
    with pytest.raises(CheckpointError, match=r"float-checkpoint-last\S+\n  Give the .* one epoch and a Checkpoint\.$"):
        run_all({**tiny_config, "stage_checkpoint": "last"}, ["float"])


def test_a_stage_without_its_predecessor_says_what_to_run(tiny_config):
    run = Run(tiny_config, source="my.py", opts=("seed=3", "a=b c"), device="cpu")
    command = "python tools/train.py --stage calibration --config my.py --opts seed=3 'a=b c' --device cpu"
    with pytest.raises(StageError, match=rf"'qat' starts from .*best.pth.tar, which .*\n  Run this first: {command}"):
        run_stage(run, "qat")
    assert not run.folder.exists()


def test_a_last_checkpoint_is_pointed_at_when_the_best_is_missing(tiny_config):
    run = Run(tiny_config)
    save_checkpoint({}, run.checkpoint("float", "last"))
    with pytest.raises(StageError, match=r"float-checkpoint-last.* exists: set stage_checkpoint='last' to use it"):
        run_stage(run, "calibration")


def test_predicting_before_training_says_what_to_run(tiny_config):
    run = Run(tiny_config)
    with pytest.raises(CheckpointError, match=r"no checkpoint .*\n  Run this first: .*--stage float"):
        predict_stage(run, "float")
    with pytest.raises(StageError, match=r"no program .*tiny.hbir.\n  Export it first: python tools/export_hbir"):
        predict_stage(run, "int_infer")


def test_a_damaged_program_is_refused(tiny_config):
    run = Run(tiny_config)
    run.folder.mkdir(parents=True)
    run.program().write_bytes(b"HBIR?")
    with pytest.raises(ProgramError, match=r"tiny.hbir"):
        predict_stage(run, "int_infer")


def test_an_unknown_stage_has_a_nearest_name(tiny_config):
    with pytest.raises(StageError, match=r"no stage 'flaot'; the stages are float, calibration, .*\n.*mean 'float'"):
        run_stage(Run(tiny_config), "flaot")


def test_a_stage_needs_its_trainer(tiny_config):
    del tiny_config["float_trainer"]
    with pytest.raises(StageError, match=r"config\['float_trainer'\] is missing, which stage 'float' needs"):
        run_stage(Run(tiny_config), "float")


def test_another_number_of_classes_stops_before_the_first_batch(tiny_config):
    with pytest.raises(ConfigError) as caught:
        run_stage(Run({**tiny_config, "num_classes": 3}), "float")
    assert str(caught.value) == (
        "config['num_classes'] is 3, but TinyDataset has 2 classes: cat, dog. Give the data set those that you mean as"
        " its classes, or set num_classes=2."
    )


def test_a_class_that_is_there_in_two_cases_is_told_where_their_number_is_wrong(tiny_config):
    tiny_config["data_loader"]["dataset"]["classes"] = ["cat", "dog", "Dog"]
    with pytest.raises(ConfigError, match=r"or set num_classes=3\.\n  'Dog' and 'dog' differ in case only: spell them"):
        run_stage(Run(tiny_config), "float")


def test_data_sets_of_one_run_agree_on_the_classes(tiny_config):
    tiny_config["val_data_loader"]["dataset"]["classes"] = ["dog", "cat"]
    with pytest.raises(ConfigError, match="have different classes: class 0 is 'cat' in one and 'dog' in another"):
        run_stage(Run(tiny_config), "float")


def test_a_gate_that_is_missed_is_said_and_recorded(tiny_config, caplog):
    _, rows = run_all({**tiny_config, "gates": {"calibration": 9.0}}, ("float", "calibration"))
    assert rows["calibration"]["passed"] is False
    assert "Stage 'calibration' did not pass its gate: mAP ≥ 900% of float." in caplog.text


def test_starting_from_an_interrupted_last_is_worth_a_warning(tiny_config, caplog):
    tiny_config["stage_checkpoint"] = "last"
    run, _ = run_all(tiny_config, ["float"])
    state = load_checkpoint(run.checkpoint("float"))
    save_checkpoint({**state, "epoch": 1}, run.checkpoint("float"))
    run_stage(run, "calibration")
    assert re.search(r"float-checkpoint-last.pth.tar was written after 1 of 2 epochs", caplog.text)


def test_a_config_may_order_its_own_stages(tiny_config):
    stages = [
        {"name": "float", "kind": "float"},
        {"name": "again", "kind": "float", "starts_from": "float"},
        {"name": "ranges", "kind": "calibration", "starts_from": ("again", "float")},
    ]
    config = {**tiny_config, "stages": stages}
    config |= {
        "again_trainer": tiny_config["float_trainer"],
        "ranges_trainer": dict(tiny_config["calibration_trainer"]),
    }
    config["ranges_trainer"]["data_loader"] = tiny_config["data_loader"]
    run, rows = run_all(config, ["float", "again", "ranges"])
    assert list(rows) == ["float", "again", "ranges"]
    assert run.predecessor(run.stage("ranges")).name == "again-checkpoint-best.pth.tar"


@pytest.mark.parametrize("kind", ["calibration", "qat", "int_infer"])
def test_only_float_starts_from_nothing(tiny_config, kind):
    tiny_config["x_trainer"] = dict(tiny_config["float_trainer"])
    run = Run({**tiny_config, "stages": [{"name": "x", "kind": kind}]})
    with pytest.raises(StageError, match=rf"Stage 'x' is of kind '{kind}', which cannot start from nothing; give its"):
        run_stage(run, "x")


@pytest.fixture
def other_kind():
    @stage_kind("measure", start=("LoadCheckpoint",), restore=("LoadCheckpoint",))
    def measure(run, stage, resume):
        model = OBJECT_REGISTRY.build(run.config["model"])
        restore(run, "float", model)
        return {"mAP": 0.5, "AP50": 0.5, "AP75": 0.5, "weight": float(model.network.conv.weight[0, 0, 0, 0].detach())}

    yield
    del STAGE_KINDS["measure"]


@pytest.mark.usefixtures("other_kind")
def test_a_kind_of_ones_own(tiny_config):
    stages = [
        {"name": "float", "kind": "float"},
        {"name": "m", "kind": "measure", "starts_from": ["float"], "gate": 0.1},
    ]
    run, rows = run_all({**tiny_config, "stages": stages}, ["float", "m"])
    trained = load_checkpoint(run.checkpoint("float"))["ema_state_dict"]["network.conv.weight"]
    assert rows["m"]["weight"] == float(trained[0, 0, 0, 0])
    assert rows["m"]["gate"] == "mAP ≥ 10% of float"


def test_the_example_image_may_be_given(tiny_config):
    tiny_config["deploy_inputs"] = {"img": torch.zeros(1, 3, 8, 8)}
    run_all(tiny_config, ("float", "calibration"))


def test_a_nan_loss_leaves_no_half_written_file(tiny_config):
    tiny_config["model"]["poison"] = 2
    run = Run(tiny_config)
    with pytest.raises(ArithmeticError, match="At step 2 loss 'reg' is nan"):
        run_stage(run, "float")
    assert [file.name for file in run.folder.iterdir()] == ["float-config.json"]


def test_a_program_of_random_weights_for_tools(tiny_config):
    tiny_config["deploy_inputs"] = {"img": torch.zeros(1, 3, 16, 8)}
    tiny_config["val_data_loader"]["dataset"]["length"] = 0  # not at hand
    program = lower_from_config(tiny_config)
    assert program.values[program.inputs[0].value].shape == (16, 8, 3)


def test_a_program_of_a_checkpoint_for_tools(tiny_config):
    run, _ = run_all(tiny_config, ("float", "calibration"))
    program = lower_from_config(tiny_config, run.checkpoint("calibration"))
    assert program.name == "tiny"
    with pytest.raises(CheckpointError, match="is of stage 'float' and has no scales, which stage 'int_infer' needs"):
        lower_from_config(tiny_config, run.checkpoint("float"))


def test_a_model_for_another_number_of_classes_is_refused(tiny_config):
    model = OBJECT_REGISTRY.build({"type": "TinyDetector"})
    model.num_classes = 3
    with pytest.raises(
        ConfigError, match=r"config\['num_classes'\] is 2, but config\['model'\] is built for 3 classes"
    ):
        check_model(Run(tiny_config), model)


def test_a_stage_that_cannot_start_leaves_nothing(tiny_config):
    with pytest.raises(ConfigError, match="device 'gpu'"):
        run_stage(Run(tiny_config, device="gpu"), "float")
    assert not Path(tiny_config["ckpt_dir"]).exists()


def test_a_failing_attempt_keeps_the_config_of_the_run_before(tiny_config):
    run_stage(Run(tiny_config), "float")
    kept = Path(tiny_config["ckpt_dir"], "float-config.json")
    before = kept.read_text()
    with pytest.raises(ConfigError, match="has 2 classes"):
        run_stage(Run({**tiny_config, "num_classes": 3}), "float")
    assert kept.read_text() == before


def test_a_missing_file_that_the_user_named_is_not_blamed_on_a_stage(tiny_config):
    run = Run(tiny_config)
    with pytest.raises(
        CheckpointError, match=r"no checkpoint .*nope\.pth\.tar\.\n  Name another file, or take .*float-"
    ):
        predict_stage(run, "float", "nope.pth.tar")
    with pytest.raises(
        StageError, match=r"There is no program .*nope\.hbir\.\n  Name another file, or take .*tiny\.hbir"
    ):
        predict_stage(run, "int_infer", "nope.hbir")


def test_a_file_that_is_no_checkpoint_is_replaced_only_where_a_stage_leaves_it(tiny_config, tmp_path):
    run = Run(tiny_config, source="tiny.py")
    own, others = run.checkpoint("float"), tmp_path / "notes.txt"
    own.parent.mkdir(parents=True)
    for path in (own, others):
        path.write_text("hello", encoding="utf-8")
    makes = r"is damaged or no .*\)\.\n  Run this first: python tools/train.py --stage float --config tiny.py$"
    elsewhere = r"notes\.txt is damaged or no checkpoint \(.*\)\.\n  Name another file, or take .*float-checkpoint-best"
    with pytest.raises(CheckpointError, match=makes):
        predict_stage(run, "float")
    with pytest.raises(CheckpointError, match=elsewhere):
        predict_stage(run, "float", others)


def test_a_program_of_another_config_is_refused(tiny_config, tmp_path):
    run, _ = run_all(tiny_config)
    other = program.load(run.program())
    program.save(
        replace(other, metadata={**other.metadata, "task_name": "cars", "num_classes": 80}), tmp_path / "o.hbir"
    )
    said = (
        r"o\.hbir belongs to another config: its task_name is 'cars' and not 'tiny', its num_classes is 80 and not 2\."
    )
    with pytest.raises(ProgramError, match=said + r"\n  Take .*tiny\.hbir, or run stage 'int_infer' again\.$"):
        predict_stage(run, "int_infer", tmp_path / "o.hbir")
    program.save(program.load(tmp_path / "o.hbir"), run.program())
    itself = r"tiny\.hbir belongs to another config: .*\n  Take the config and --opts that it was lowered with, or run"
    with pytest.raises(ProgramError, match=itself):
        predict_stage(run, "int_infer")


def test_the_engine_hands_the_example_input_to_the_models_it_builds(tiny_config):
    tiny_config["deploy_inputs"] = {"img": torch.zeros(1, 3, 8, 8)}
    run = Run(tiny_config)
    models = (build_model(run), build_loop(run, run.stage("float")).model, build_predictor(run, "float").model)
    assert all(model.deploy_inputs is run.config["deploy_inputs"] for model in models)


def test_quantize_in_the_model_is_the_fake_quant_graph(tiny_config):
    tiny_config["stage_checkpoint"] = "last"
    quantized = {**tiny_config["model"], "quantize": True}
    run_stage(Run(tiny_config), "float")
    run_stage(Run({**tiny_config, "qat_trainer": {**tiny_config["qat_trainer"], "model": quantized}}), "qat")
    with pytest.raises(ConfigError, match="of stage 'float', which trains float weights, has quantize=True, which is"):
        run_stage(Run({**tiny_config, "float_trainer": {**tiny_config["float_trainer"], "model": quantized}}), "float")


def test_device_ids_of_the_config_start_nothing(tiny_config, caplog):
    with caplog.at_level("INFO", "hatlite"):
        run_stage(Run({**tiny_config, "device_ids": [0, 1, 2, 3]}), "float")
    assert "config['device_ids'] names 4 devices; processes that work: 1." in caplog.text
    with pytest.raises(ConfigError, match="config\\['device_ids'\\] is 8; expected"):
        run_stage(Run({**tiny_config, "device_ids": 8}), "float")
