"""``quantize`` in a config says which stage is trained and looked at where the command line does not."""

import logging
from pathlib import Path
from typing import Any

import pytest

from hatlite.engine import Run, float_stage, last_stage, quantize_flag, run_to_evaluate, run_to_train
from hatlite.engine.checkpoint import save_checkpoint
from hatlite.engine.quantize_flag import stage_to_evaluate, stage_to_train
from hatlite.errors import ConfigError, StageError

TRAINED = [(False, "float"), (None, "float"), (True, "qat"), (1, "qat"), ("training", "qat")]
TRAINED += [("calibration", "calibration")]


def run_of(folder: Path, **more: Any) -> Run:
    return Run({"task_name": "tiny", "ckpt_dir": str(folder), **more}, source="tiny.py")


def leave(run: Run, *stages: str) -> None:
    for stage in stages:
        state = {"format": 1, "stage": stage, "task_name": "tiny", "config": "{}", "classes": [], "state_dict": {}}
        save_checkpoint(state, run.checkpoint(stage))


@pytest.mark.parametrize(("flag", "stage"), TRAINED)
def test_the_flag_says_what_is_trained(tmp_path: Path, flag: Any, stage: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="hatlite"):
        assert stage_to_train(run_of(tmp_path, quantize=flag)) == stage
    assert caplog.messages == [f"Stage {stage!r}: config['quantize'] is {flag!r}."]


@pytest.mark.parametrize(("flag", "untrained"), TRAINED)
def test_any_true_value_evaluates_the_last_quantised_stage(tmp_path: Path, flag: Any, untrained: str) -> None:
    run = run_of(tmp_path, quantize=flag)
    leave(run, "float")
    assert stage_to_evaluate(run, None, None, last_stage) == untrained, "whose absence is told with its command"
    leave(run, "calibration")
    assert stage_to_evaluate(run, None, None, last_stage) == ("calibration" if flag else "float")
    leave(run, "qat")
    run.program().touch()
    assert stage_to_evaluate(run, None, None, last_stage) == ("qat" if flag else "float")


def test_without_the_flag_each_tool_decides(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = run_of(tmp_path)
    leave(run, "float", "qat")
    with caplog.at_level(logging.INFO, logger="hatlite"):
        assert stage_to_evaluate(run, None, None, float_stage) == "float"
        assert stage_to_evaluate(run, None, None, last_stage) == "qat"
        assert stage_to_evaluate(run, None, run.checkpoint("qat"), float_stage) == "qat"
    told = ["Stage 'float': neither --stage nor config['quantize'] names one."]
    assert caplog.messages == [*told, f"Stage 'qat': {run.checkpoint('qat')} is of it."]
    with pytest.raises(StageError, match="--stage is missing, and tiny.py sets no quantize, which would say") as told:
        stage_to_train(run)
    assert str(told.value).endswith("name one of float, calibration, qat, int_infer, such as --stage float.")


def test_a_checkpoint_says_of_which_quantised_stage_it_is(tmp_path: Path) -> None:
    run = run_of(tmp_path, quantize=True)
    leave(run, "float", "calibration", "qat")
    for name, taken in (("calibration", "calibration"), ("qat", "qat"), ("float", "qat")):
        assert stage_to_evaluate(run, None, run.checkpoint(name), float_stage) == taken
    assert stage_to_evaluate(run, None, tmp_path / "tiny.hbir", float_stage) == "int_infer"
    floating = run_of(tmp_path, quantize=False)
    assert stage_to_evaluate(floating, None, run.checkpoint("qat"), float_stage) == "float", (
        "in float, with its weights"
    )


def test_the_command_line_comes_first_and_a_difference_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training, floating = run_of(tmp_path, quantize="training"), run_of(tmp_path, quantize=False)
    with caplog.at_level(logging.INFO, logger="hatlite"):
        assert stage_to_train(training, "calibration") == "calibration"
        assert stage_to_train(floating, "qat") == "qat"
        assert stage_to_evaluate(training, "float", None, last_stage) == "float"
        assert stage_to_evaluate(floating, "qat", None, last_stage) == "qat"
    assert caplog.messages == [
        "--stage calibration is followed; config['quantize'] is 'training', which asks for qat.",
        "--stage qat is followed; config['quantize'] is False, which asks for float.",
        "--stage float is followed; config['quantize'] is 'training', which asks for calibration or qat.",
        "--stage qat is followed; config['quantize'] is False, which asks for float.",
    ]
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="hatlite"):
        assert stage_to_train(floating, "int_infer") == "int_infer"
        for silent in (training, run_of(tmp_path), run_of(tmp_path, quantize=None)):
            assert stage_to_train(silent, "qat") == "qat"
        assert stage_to_evaluate(training, "calibration", None, last_stage) == "calibration"
    assert not caplog.messages


def test_the_config_is_told_which_stage_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HAT_TRAINING_STEP", raising=False)
    text = 'import os\ntraining_step = os.environ.get("HAT_TRAINING_STEP", "align_bpu")\ntask_name = "tiny"\n'
    text += f"ckpt_dir = {str(tmp_path)!r}\nmodel = dict(type='FCOS')\n"
    file = tmp_path / "tiny.py"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setattr(quantize_flag, "load_run", Run.load)
    for given, told in ((None, "qat"), ("float", "float")):
        run, stage = run_to_train(str(file), ["quantize=True"], "cpu", ("--device-ids", "0"), stage=given)
        assert (stage, run.config["training_step"], run.device, run.opts) == (told, told, "cpu", ["quantize=True"])
    leave(run, "float")
    for given, told in ((None, "float"), ("qat", "qat")):
        run, stage = run_to_evaluate(str(file), otherwise=last_stage, stage=given)
        assert (stage, run.config["training_step"]) == (told, told)


def test_mistakes_are_answered(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\['quantize'\] is 'calib'; expected False or None for float") as told:
        run_of(tmp_path, quantize="calib")
    assert str(told.value).endswith("True or 'training' for qat, or 'calibration'.\n  Did you mean 'calibration'?")
    for wrong in ("qat", "", 0.5, ["training"]):
        with pytest.raises(ConfigError, match=r"config\['quantize'\] is .*; expected False or None for float, True or"):
            run_of(tmp_path, quantize=wrong)
    two = [{"name": "float", "kind": "float"}, *({"name": n, "kind": "qat", "starts_from": "float"} for n in "ab")]
    run = run_of(tmp_path, quantize=True, stages=two)
    with pytest.raises(
        StageError, match="is True, which asks for a stage of kind 'qat', of which there are a, b; name"
    ):
        stage_to_train(run)
    leave(run, "a")
    assert stage_to_evaluate(run, None, None, last_stage) == "a", "the last that left a checkpoint"
    run = run_of(tmp_path, quantize="calibration", stages=two)
    with pytest.raises(StageError, match=r"config\['stages'\] lists none; name one with --stage: float, a, b"):
        stage_to_train(run)
    with pytest.raises(StageError, match="There is no stage 'flaot'; the stages are float, a, b"):
        stage_to_train(run, "flaot")
    with pytest.raises(
        StageError, match=r"config\['quantize'\] is not set, which asks for a stage of kind 'float', an"
    ):
        stage_to_evaluate(run_of(tmp_path, stages=[{"name": "q", "kind": "qat"}]), None, None, float_stage)
