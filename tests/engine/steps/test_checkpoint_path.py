import logging
import re

import pytest
import torch

from hatlite.engine.conversion import ModelConvertPipeline
from hatlite.engine.run import Run
from hatlite.engine.steps.checkpoint_path import checkpoint_override, find_checkpoint
from hatlite.engine.weights_hash import weights_hash
from hatlite.errors import CheckpointError, StageError
from hatlite.overrides import Override
from hatlite.registry import OBJECT_REGISTRY


def checkpoint_of(stage, **state):
    return {"format": 1, "stage": stage, "task_name": "t", "config": "{}", "classes": [], "state_dict": state}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("checkpoint/step1/best.pth", "float-checkpoint-best"),
        ("checkpoint/step1/fused.pth", "float-checkpoint-best"),
        ("step2/last.pth", "qat-checkpoint-last"),
        ("./checkpoint/step2/cal-best.pth", "calibration-checkpoint-best"),
        ("checkpoint/step3/best.pth", "qat_activations-checkpoint-best"),
        ("checkpoint/step4/last.pth", "qat_31-checkpoint-last"),
    ],
)
def test_paths_of_the_toolkit_stand_for_the_runs_own_files(step_run, leave, text, name):
    with pytest.raises(StageError, match=re.escape(f"checkpoint-path {text} stands for {step_run.folder / name}")):
        find_checkpoint(step_run, text)
    file = leave(name)
    assert find_checkpoint(step_run, text) == file


def test_a_file_that_exists_is_taken_whatever_it_is_called(step_run, tmp_path, leave):
    leave("float-checkpoint-best")
    file = tmp_path / "step1" / "best.pth"
    file.parent.mkdir()
    file.touch()
    assert find_checkpoint(step_run, str(file)) == file


def test_a_step_that_has_left_nothing_names_the_command_that_does(step_run):
    with pytest.raises(StageError) as told:
        find_checkpoint(step_run, "checkpoint/step2/best.pth")
    assert str(told.value).splitlines()[1] == (
        f"  Run this first: python tools/train.py --stage qat --config {step_run.source}"
    )


@pytest.mark.parametrize("text", ["best.pth", "checkpoint/step1/epoch9.pth", "checkpoint"])
def test_other_files_have_to_exist(step_run, text):
    with pytest.raises(CheckpointError, match=f"checkpoint-path {text}: there is no such file; checkpoint/step1/best"):
        find_checkpoint(step_run, text)


def test_step_0_is_where_nothing_has_been_trained(step_run, stage_of, caplog):
    with caplog.at_level(logging.INFO, "hatlite"):
        assert checkpoint_override(step_run, stage_of("float"), "checkpoint/step0/best.pth") is None
    assert caplog.messages == ["checkpoint/step0/best.pth does not exist: stage 'float' starts from random weights."]
    with pytest.raises(StageError, match="checkpoint/step0/best.pth does not exist, and stage 'qat_31' cannot start"):
        checkpoint_override(step_run, stage_of("qat_31"), "checkpoint/step0/best.pth")


def test_what_a_stage_starts_from_anyway_is_no_override(step_run, stage_of, leave):
    leave("qat_activations-checkpoint-best")
    assert checkpoint_override(step_run, stage_of("qat_31"), "checkpoint/step3/best.pth") is None


@pytest.mark.parametrize("stage", ["float", "qat_31"])
def test_another_file_is_a_pipeline_that_loads_it(step_run, stage_of, leave, stage):
    path = leave("other")
    torch.save(checkpoint_of("qat_activations"), path)
    override = Override.parse(checkpoint_override(step_run, stage_of(stage), str(path)))
    assert override.keys == (f"{stage}_trainer", "model_convert_pipeline")
    pipeline = OBJECT_REGISTRY.build(override.value)
    assert isinstance(pipeline, ModelConvertPipeline)
    assert pipeline.leaves() == {"float": "float", "qat_31": "qat"}[stage]
    assert [one.checkpoint_path for one in pipeline.converters if hasattr(one, "checkpoint_path")] == [str(path)]


def test_a_pipeline_of_the_config_keeps_the_rest(step_config, leave):
    converters = "[dict(type='LoadCheckpoint'), dict(type='LoadCheckpoint', allow_miss=True)]"
    given = f"dict(type='ModelConvertPipeline', converters={converters})"
    step_config.write_text(f"{step_config.read_text()}\nfloat_trainer['model_convert_pipeline'] = {given}\n")
    run, path = Run.load(str(step_config)), leave("other")
    torch.save({"format": 1}, path)
    override = checkpoint_override(run, run.stage("float"), str(path))
    assert override == f"float_trainer.model_convert_pipeline.converters.1.checkpoint_path={str(path)!r}"
    changed = Run.load(str(step_config), [override]).config["float_trainer"]["model_convert_pipeline"]["converters"]
    assert changed[1] == {"type": "LoadCheckpoint", "allow_miss": True, "checkpoint_path": str(path)}


def test_a_pipeline_that_loads_nothing_has_no_place_for_a_file(step_config, leave):
    given = "dict(type='ModelConvertPipeline', converters=[])"
    step_config.write_text(f"{step_config.read_text()}\nfloat_trainer['model_convert_pipeline'] = {given}\n")
    run, path = Run.load(str(step_config)), leave("other")
    torch.save({"format": 1}, path)
    with pytest.raises(StageError, match="of stage 'float' has no LoadCheckpoint, so checkpoint-path has no place in"):
        checkpoint_override(run, run.stage("float"), str(path))


def test_weights_of_the_toolkit_are_what_step_1_starts_from(step_run, stage_of, leave):
    path = leave("theirs")
    torch.save({"features.conv0.weight": torch.zeros(1)}, path)
    assert checkpoint_override(step_run, stage_of("float"), str(path)) == f"model.pretrained={str(path)!r}"
    path.write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=f"{path} is damaged or no checkpoint"):
        checkpoint_override(step_run, stage_of("float"), str(path))


def test_step_3_says_which_calibration_belongs_to_a_file(step_config, leave, tmp_path):
    run = Run.load(str(step_config), ["qat_activations_trainer.num_epochs=3", "batch_size=2"])
    path, stage = tmp_path / "other.pth.tar", run.stage("qat_activations")
    site = "network.sites.conv"
    weights = {"network.conv.weight": torch.ones(2), f"{site}.multiplier": torch.ones(2)}
    torch.save(checkpoint_of("qat", **weights, **{f"{site}.scale": torch.tensor(torch.nan)}), path)
    line = f"--config {step_config} checkpoint-path {path} --opts batch_size=2"
    with pytest.raises(StageError) as told:
        checkpoint_override(run, stage, str(path))
    assert str(told.value) == (
        f"checkpoint-path {path} has no ranges of activations, which step 3 needs, and no calibration of its weights"
        f" lies in {run.folder} or beside it.\n  Run this to find them:"
        f" python tools/train-dist.py --step 2 --cal {line}"
    )
    found = {**checkpoint_of("calibration"), "weights_hash": weights_hash(weights)}
    torch.save(found, leave("calibration-checkpoint-best"))
    assert f"'checkpoint_path': {str(path)!r}" in checkpoint_override(run, stage, str(path))
    torch.save(checkpoint_of("float", **{"network.conv.weight": torch.ones(2)}), path)
    with pytest.raises(StageError) as told:
        checkpoint_override(run, stage, str(path))
    assert str(told.value) == (
        f"checkpoint-path {path} is of stage 'float', whose weights are not rounded yet, and step 3 starts behind step"
        f" 2.\n  Run step 2 first: python tools/train-dist.py --step 2 {line}"
    )


def test_step_4_goes_on_from_step_4_without_a_second_edit(step_run, stage_of, leave, caplog):
    path, stage, cap = leave("qat_31-checkpoint-best"), stage_of("qat_31"), "network.sites.conv.cap"
    text = "checkpoint/step4/best.pth"
    torch.save(checkpoint_of("qat_31", **{cap: torch.tensor(2.5)}), path)
    with caplog.at_level(logging.INFO, "hatlite"):
        override = Override.parse(checkpoint_override(step_run, stage, text))
    assert [one["type"] for one in override.value["converters"]] == ["Float2QAT", "LoadCheckpoint"]
    assert caplog.messages == [f"The gains of {path} were edited before; step 4 goes on without another edit."]
    assert override == Override.parse(checkpoint_override(step_run, stage, text, edit=False))
    with pytest.raises(StageError) as told:
        checkpoint_override(step_run, stage, text, edit=True)
    assert str(told.value) == (
        f"edit-gain asks for a second gain edit: the gains of {path} were edited before; leave edit-gain out."
    )
    torch.save(checkpoint_of("qat_31", **{cap: torch.tensor(torch.nan)}), path)
    override = Override.parse(checkpoint_override(step_run, stage, text, edit=True))
    assert [one["type"] for one in override.value["converters"]] == ["Float2QAT", "LoadCheckpoint", "EditGain"]
    with pytest.raises(
        StageError, match=r"edit-gain is false, and the gains of \S+ were not edited yet, which the chi"
    ):
        checkpoint_override(step_run, stage, text, edit=False)
