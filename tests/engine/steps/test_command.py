"""The lines of the toolkit's README, and every key, as overrides of a config."""

import logging
import re
from pathlib import Path

import pytest
import torch

from hatlite.engine import STAGE_KINDS
from hatlite.engine.run import Run
from hatlite.engine.steps import command as command_module
from hatlite.engine.steps.command import read_given, step_overrides, step_run, step_to_evaluate
from hatlite.engine.steps.words import read_words
from hatlite.engine.validate import find_problems
from hatlite.errors import ConfigError, LaunchError, StageError

GNETDET = Path(__file__).parents[3] / "configs" / "detection" / "gnetdet" / "gnetdet_448_voc.py"
SCHEDULE = {"type": "StepDecayLrUpdater", "lr_decay_factor": 0.1, "warmup_by": "epoch"}


def run_of(config, step, line, **more):
    return step_run(str(config), step, read_words(line.split()), **more)


def test_step_1_of_the_readme(step_config):
    line = "learning-rate 1e-3 checkpoint-path checkpoint/step0/best.pth num-epochs 600 step-size 400 gamma 0.1"
    run, stage = run_of(step_config, 1, f"{line} warmup-epochs 100")
    trainer = run.config["float_trainer"]
    assert stage == "float" and trainer["num_epochs"] == 600 and trainer["optimizer"]["lr"] == 1e-3
    assert trainer["callbacks"][1] == {**SCHEDULE, "lr_decay_every": 400, "warmup_len": 100}
    assert "model_convert_pipeline" not in trainer
    assert run.config["qat_trainer"]["num_epochs"] == 200  # another stage keeps its own


@pytest.mark.parametrize(
    ("step", "stage", "before", "numbers"),
    [
        (2, "qat", "float-checkpoint-best", (1e-4, 800, 400, 200)),
        (4, "qat_31", "qat_activations-checkpoint-best", (1e-5, 500, 200, 100)),
    ],
)
def test_later_steps_of_the_readme(step_config, leave, monkeypatch, step, stage, before, numbers):
    monkeypatch.setattr("hatlite.engine.steps.checkpoint_path._is_own_start", lambda run, stage, path: path == file)
    file = leave(before)
    rate, epochs, size, warmup = numbers
    line = f"learning-rate {rate} checkpoint-path checkpoint/step{1 if step == 2 else 3}/best.pth num-epochs {epochs}"
    run, name = run_of(step_config, step, f"{line} step-size {size} gamma 0.1 warmup-epochs {warmup}")
    trainer = run.config[f"{stage}_trainer"]
    assert name == stage and (trainer["optimizer"]["lr"], trainer["num_epochs"]) == (rate, epochs)
    assert trainer["callbacks"][1] == {**SCHEDULE, "lr_decay_every": size, "warmup_len": warmup}
    assert "model_convert_pipeline" not in trainer


def test_calibration_of_the_readme(step_config, leave, monkeypatch):
    monkeypatch.setattr("hatlite.engine.steps.checkpoint_path._is_own_start", lambda run, stage, path: True)
    leave("qat-checkpoint-best")
    assert run_of(step_config, 2, "checkpoint-path checkpoint/step2/best.pth", calibrate=True)[1] == "calibration"
    assert run_of(step_config, 2, "batch-size 8", calibrate=True)[0].config["data_loader"]["batch_size"] == 8


def test_every_other_key_reaches_its_place(step_config):
    line = """image-size 224 image-format YUV VOC-CLASSES [head] DS-NAME HT21 batch-norm false loss-weights [4,0.5]
              loss-normalizer 50 loss-normalizer-momentum 0.5 lr-momentum 0.8 weight-decay 1e-4 num-workers 0
              log-freq 10 conf-thresh 0.1 prob-thresh 0.2 nms-thresh 0.3"""
    run, _ = run_of(step_config, 1, line)
    model, trainer, data = run.config["model"], run.config["float_trainer"], run.config["data_loader"]["dataset"]
    assert model["backbone"] == {"type": "GNet", "input_size": 224, "batch_norm": False}
    assert model["loss"]["loss_weights"] == [4.0, 0.5]
    assert (model["loss"]["normaliser"], model["loss"]["normaliser_momentum"]) == (50.0, 0.5)
    assert model["post_process"] == {"type": "GridDecoder", "conf_thresh": 0.1, "prob_thresh": 0.2, "nms_thresh": 0.3}
    assert model["head"]["num_classes"] == run.config["num_classes"] == 1
    assert (data["path"], data["classes"], data["image_format"]) == ("data/meta/HT21_train.txt", ["head"], "YUV")
    assert trainer["optimizer"] == {"type": torch.optim.SGD, "lr": 1e-3, "momentum": 0.8, "weight_decay": 2e-4}
    assert (trainer["callbacks"][0]["log_freq"], run.config["data_loader"]["num_workers"]) == (10, 0)


@pytest.mark.parametrize(
    ("kind", "rules", "expected"),
    [
        (
            torch.optim.SGD,
            {"weight": {"weight_decay": 0.5}},
            ["float_trainer.optimizer.params.weight.weight_decay=0.2"],
        ),
        (
            torch.optim.AdamW,
            {"weight": {"weight_decay": 0.5}},
            ["float_trainer.optimizer.params.weight.weight_decay=0.1"],
        ),
        (torch.optim.AdamW, {"bias": {"lr": 0.5}}, ["float_trainer.optimizer.weight_decay=0.1"]),
        (torch.optim.AdamW, {}, ["float_trainer.optimizer.weight_decay=0.1"]),
    ],
)
def test_a_decay_is_what_the_optimizer_calls_one(step_run, kind, rules, expected):
    step_run.config["float_trainer"]["optimizer"].update(type=kind, params=rules)
    assert step_overrides(step_run, step_run.stage("float"), {"weight_decay": 0.1}) == expected


def test_a_decay_of_several_rules_is_refused(step_run):
    rules = {"conv": {"weight_decay": 0.1}, "bias": {"weight_decay": 0.0}}
    step_run.config["float_trainer"]["optimizer"]["params"] = rules
    with pytest.raises(ConfigError) as told:
        step_overrides(step_run, step_run.stage("float"), {"weight_decay": 0.1})
    assert str(told.value) == (
        f"weight-decay is one number, and float_trainer.optimizer.params in {step_run.source} has rules of its own for"
        " conv, bias; set each by --opts float_trainer.optimizer.params.conv.weight_decay=0.1."
    )


def test_a_size_of_two_numbers_stays_one(step_config):
    step_config.write_text(step_config.read_text().replace("image_size = 448", "image_size = (448, 448)"))
    assert run_of(step_config, 1, "image-size 224")[0].config["image_size"] == (224, 224)


@pytest.mark.parametrize(
    ("line", "processes", "batch", "workers"),
    [("", (1, 1), 16, 4), ("", (4, 2), 4, 2), ("batch-size 8", (4, 4), 2, 1), ("batch-size 8", (3, 1), 2, 4)],
)
def test_a_batch_is_of_all_processes_together(step_config, caplog, line, processes, batch, workers):
    with caplog.at_level(logging.INFO, "hatlite"):
        loader = run_of(step_config, 1, line, processes=processes)[0].config["data_loader"]
    assert (loader["batch_size"], loader["num_workers"]) == (batch, workers)
    assert ("batch-size 8 among 3 processes: 2 each, 6 together." in caplog.messages) == (processes == (3, 1))


def test_a_loader_of_its_own_is_shared_too(step_run):
    run = Run({**step_run.config, "data_loader": {"type": "DataLoader", "batch_size": 6}})
    del run.config["batch_size"], run.config["num_workers"]
    assert step_overrides(run, run.stage("float"), {}, processes=(2, 2)) == ["data_loader.batch_size=3"]


def test_more_processes_than_images_are_refused(step_config):
    with pytest.raises(
        LaunchError, match="batch-size is 2, of all processes together, and there are 4; give 4 or more"
    ):
        run_of(step_config, 1, "batch-size 2", processes=(4, 2))


def test_finetuning_freezes_the_backbone_and_then_trains_it(step_config):
    callbacks = run_of(step_config, 2, "", finetune=5)[0].config["qat_trainer"]["callbacks"]
    assert callbacks[2:] == [{"type": "FreezeModule", "modules": ["backbone"], "stop_epoch": 5}]


def test_the_command_that_does_the_same_is_told(step_config, caplog):
    with caplog.at_level(logging.INFO, "hatlite"):
        run_of(step_config, 2, "learning-rate 1e-4", opts=["qat_trainer.num_epochs=3"], device="cpu")
    assert caplog.messages[-1] == (
        f"Step 2 is: python tools/train.py --stage qat --config {step_config} --opts qat_trainer.optimizer.lr=0.0001"
        " qat_trainer.num_epochs=3 --device cpu"
    )


def test_the_command_can_be_read(step_config, caplog):
    with caplog.at_level(logging.INFO, "hatlite"):
        run_of(step_config, 1, "DS-NAME HT21 VOC-CLASSES [head,tail]")
    assert caplog.messages[-1].endswith("""--opts ds_name=HT21 "classes=['head', 'tail']\"""")


@pytest.mark.parametrize(
    ("step", "line", "more", "error", "said"),
    [
        (
            1,
            "learning-rate 1",
            {"calibrate": True},
            StageError,
            "--cal is the calibration behind step 2, and --step is",
        ),
        (2, "learning-rate 1", {"calibrate": True}, ConfigError, "learning-rate has nothing to do: --cal trains noth"),
        (2, "", {"calibrate": True, "finetune": 2}, ConfigError, "--finetune has nothing to do: --cal trains nothing"),
        (3, "edit-gain true", {}, ConfigError, "edit-gain is of step 4, which edits gains once without being asked; l"),
        (4, "edit-gain false", {}, ConfigError, "edit-gain is false, and step 4 starts from step 3, whose gains are n"),
        (5, "", {}, StageError, "There is no step 5"),
    ],
)
def test_what_contradicts_a_step_is_one_sentence(step_config, step, line, more, error, said):
    with pytest.raises(error, match=said) as told:
        run_of(step_config, step, line, **more)
    assert "\n" not in str(told.value)


def test_a_config_without_the_place_of_a_key_is_told(step_run):
    del step_run.config["float_trainer"]["optimizer"]
    with pytest.raises(ConfigError, match=r"learning-rate is float_trainer\.optimizer\.lr in a config, and \S+ has no"):
        step_overrides(step_run, step_run.stage("float"), {"learning_rate": 1.0})


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ConfigError) as told:
        read_given(read_words("gama 1 num-epochs -3 batch-size 0 step 2".split()))
    assert str(told.value) == (
        "4 problems in the command line:\n"
        "- gama is no key of the toolkit; --keys prints them all.\n    Did you mean 'gamma'?\n"
        "- num-epochs is '-3'; expected a whole number from 0 up.\n"
        "- batch-size is '0'; expected a whole number from 1 up.\n"
        "- step is nothing that training can be given here: it is a flag here: --step N."
    )


def test_a_step_to_evaluate(step_config, leave, monkeypatch):
    monkeypatch.setattr(command_module, "load_run", lambda *named, **more: Run.load(*named, **more))
    run, stage, path = step_to_evaluate(str(step_config), 4)
    assert (run.source, stage, path) == (str(step_config), "qat_31", None)
    file = leave("qat-checkpoint-last")
    assert step_to_evaluate(str(step_config), 2, "checkpoint/step2/last.pth")[1:] == ("qat", file)
    with pytest.raises(
        StageError, match=re.escape("-p checkpoint/step0/best.pth: step 0 is where nothing has been tr")
    ):
        step_to_evaluate(str(step_config), 1, "checkpoint/step0/best.pth")


EVERYTHING = """
image-size 224 image-format YUV VOC-CLASSES [head] DS-NAME HT21 batch-norm true loss-weights [4,0.5] loss-normalizer 50
loss-normalizer-momentum 0.5 lr-momentum 0.8 weight-decay 1e-4 batch-size 8 num-workers 0 log-freq 5 conf-thresh 0.1
prob-thresh 0.2 nms-thresh 0.3 learning-rate 0.1 num-epochs 9 lr-scheduler StepLR step-size 4 gamma 0.5 warmup-epochs 1
"""


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_the_shipped_config_takes_every_key_in_every_step(step):
    run, stage = run_of(GNETDET, step, EVERYTHING, finetune=2)
    assert [str(problem) for problem in find_problems(run, STAGE_KINDS)] == []
    trainer, model = run.config[f"{stage}_trainer"], run.config["model"]
    assert trainer["optimizer"] == {"type": torch.optim.SGD, "lr": 0.1, "momentum": 0.8, "weight_decay": 2e-4}
    assert (model["backbone"]["input_size"], model["head"]["num_classes"]) == (224, 1)
    assert run.config["deploy_inputs"]["img"].shape[-2:] == (224, 224)
    assert run.config["data_loader"]["dataset"]["meta_file"] == "./data/meta/HT21_train.txt"
    assert (run.config["conf_thresh"], run.config["prob_thresh"], run.config["nms_thresh"]) == (0.1, 0.2, 0.3)
