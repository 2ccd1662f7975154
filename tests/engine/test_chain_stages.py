"""The stages of a march without scales: rounded weights, ranges, rounded activations, the gain edit, integers."""

import json
import shutil

import pytest
import torch

from hatlite import program
from hatlite.engine import Run, export_stage, predict_stage, run_stage
from hatlite.engine.checkpoint import load_checkpoint, save_checkpoint
from hatlite.engine.weights_hash import WEIGHTS_HASH, weights_hash
from hatlite.errors import CheckpointError, ConfigError, QuantizationError, StageError

TRAINED = ("float", "qat", "calibration", "qat_activations", "qat_31")
STEPS = ("qat", "qat_activations", "qat_31")


def run_all(config, names):
    run = Run(config)
    return run, {name: run_stage(run, name) for name in names}


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A folder for what several tests start from."""
    return tmp_path_factory.mktemp("chain") / "run"


@pytest.fixture
def trained(chain_config, once):
    """A run all of whose stages but the last have left their checkpoints, which are the same for every test."""
    if not once.exists():
        run_all({**chain_config, "ckpt_dir": str(once)}, TRAINED)
    shutil.copytree(once, chain_config["ckpt_dir"])
    return chain_config


def state_of(run, stage):
    return load_checkpoint(run.checkpoint(stage))


def test_six_stages_follow_one_another_and_each_is_restored_as_it_was_left(trained):
    run, _ = run_all(trained, ("int_infer",))
    rows = json.loads((run.folder / "stages.json").read_text())["stages"]
    for name in TRAINED:
        assert predict_stage(run, name)["val_loss"] == rows[name]["val_loss"]
    assert rows["int_infer"]["passed"]
    assert all(rows["int_infer"][name] == rows["qat_31"][name] for name in ("mAP", "val_loss"))
    weights = {name: state_of(run, name)["state_dict"] for name in TRAINED}
    for before, after in (("qat", "qat_activations"), ("qat_activations", "qat_31")):
        key = "network.conv1.weight"
        assert not torch.equal(weights[before][key], weights[after][key])
    scales = {key: value for key, value in weights["qat_31"].items() if key.endswith(".scale")}
    assert scales and all(float(scale) == 1 for scale in scales.values())
    caps = [float(weights["qat_31"][f"network.sites.conv{index}.cap"]) for index in range(3)]
    assert caps == [31 * float(weights["qat_activations"][f"network.sites.conv{index}.scale"]) for index in range(3)]
    assert program.load(run.program()).metadata["caps"] == caps
    # weights of the last stage make the float network right, through the gain
    assert predict_stage(run, "float", run.checkpoint("qat_31"))["val_loss"] < 10 * rows["qat_31"]["val_loss"]


def test_a_stage_without_its_predecessor_names_the_command(chain_config):
    run, _ = run_all(chain_config, ("float",))
    with pytest.raises(StageError, match=r"'qat_activations' starts from .*calibration.*\n.*--stage calibration"):
        run_stage(run, "qat_activations")
    with pytest.raises(StageError, match=r"'qat_31' starts from .*qat_activations.*\n.*--stage qat_activations"):
        run_stage(run, "qat_31")


def test_a_second_gain_edit_is_refused(trained):
    run = Run(trained)
    steps = ["Float2QAT", {"type": "LoadCheckpoint", "checkpoint_path": str(run.checkpoint("qat_31"))}, "EditGain"]
    pipeline = [{"type": step} if isinstance(step, str) else step for step in steps]
    trained["qat_31_trainer"]["model_convert_pipeline"] = {"type": "ModelConvertPipeline", "converters": pipeline}
    text = r"qat_31-checkpoint-last.* were folded into its weights before, so a second gain edit would find none; go on"
    with pytest.raises(QuantizationError, match=text):
        run_stage(Run(trained), "qat_31")
    pipeline.pop()  # without it, training goes on from edited weights
    assert run_stage(Run(trained), "qat_31")["epoch"] == 1


def test_what_still_has_scales_is_not_lowered_and_says_which_step_is_missing(trained):
    run = Run(trained)
    said = (
        r"qat_activations-checkpoint-last.pth.tar, of stage 'qat_activations': conv\w* .* has the scale .* gain edit.*"
        r"\n  That is stage 'qat_31': .*--stage qat_31"
    )
    with pytest.raises(QuantizationError, match=said):
        export_stage(run, run.checkpoint("qat_activations"))


@pytest.mark.parametrize("stage", STEPS)
def test_each_step_resumes_to_the_bit(trained, stage):
    average = {"type": "ExponentialMovingAverage", "decay": 0.9, "ramp": 2.0}
    trainer = trained[f"{stage}_trainer"]
    trainer["callbacks"] = [average, {"type": "InterruptAt", "step": 99}, *trainer["callbacks"]]
    trainer["num_epochs"] = 2
    run, _ = run_all(trained, (stage,))
    whole = state_of(run, stage)
    trainer["callbacks"][1] = {"type": "InterruptAt", "step": 5}
    with pytest.raises(KeyboardInterrupt):
        run_stage(Run(trained), stage)
    assert state_of(run, stage)["step"] == 6
    trainer["callbacks"][1] = {"type": "InterruptAt", "step": 99}
    run_stage(Run(trained), stage, resume=True)
    parts = state_of(run, stage)
    for key in ("state_dict", "ema_state_dict"):
        for name, value in whole[key].items():
            torch.testing.assert_close(parts[key][name], value, rtol=0, atol=0, equal_nan=True)
    assert whole["metrics"]["val_loss"] == parts["metrics"]["val_loss"]


def from_checkpoint(config, path):
    load = {"type": "LoadCheckpoint", "checkpoint_path": str(path)}
    converters = [{"type": "Float2ActivationQAT"}, load]
    pipeline = {"type": "ModelConvertPipeline", "converters": converters}
    config["qat_activations_trainer"] = {**config["qat_activations_trainer"], "model_convert_pipeline": pipeline}


def test_step_3_on_a_checkpoint_of_step_2_finds_its_calibration(trained, caplog):
    run = Run(trained)
    step_2 = state_of(run, "qat")
    assert state_of(run, "calibration")[WEIGHTS_HASH] == weights_hash(step_2["state_dict"])
    from_checkpoint(trained, run.checkpoint("qat"))
    with caplog.at_level("INFO", "hatlite"):
        run_stage(Run(trained), "qat_activations")
    assert "has no ranges of activations; those of" in caplog.text
    # of other weights it finds none
    step_2["state_dict"]["network.conv0.bias"] += 0.25
    save_checkpoint(step_2, run.folder / "other.pth.tar")
    from_checkpoint(trained, run.folder / "other.pth.tar")
    with pytest.raises(StageError, match=r"other.pth.tar has no ranges .* no calibration .*\n.*calibration"):
        run_stage(Run(trained), "qat_activations")
    with pytest.raises(CheckpointError, match=r"other.pth.tar is of stage 'qat' and has no scales"):
        predict_stage(Run(trained), "qat_activations", run.folder / "other.pth.tar")


@pytest.mark.parametrize("before", [False, True])
def test_caps_may_be_learned_from_calibration_on_whatever_step_2_was_told(chain_config, before):
    activation = chain_config["qconfig"]["activation"]
    run_all(
        {**chain_config, "qconfig": {**chain_config["qconfig"], "activation": {**activation, "learn": before}}},
        TRAINED[:2],
    )
    activation["learn"] = not before
    run, _ = run_all(chain_config, ("calibration", "qat_activations"))
    states = {name: state_of(run, name)["state_dict"] for name in TRAINED[1:4]}
    learned = {
        name: [value for key, value in state.items() if key.endswith(".log_scale")] for name, state in states.items()
    }
    assert [bool(learned[name]) for name in TRAINED[1:4]] == [before, not before, not before]
    assert not any(learned["calibration"]) and any(learned["qat_activations"]) != before


def test_batch_norm_is_folded_on_the_way_into_step_2(chain_config):
    chain_config["model"]["batch_norm"] = True
    run, rows = run_all(chain_config, TRAINED)
    names = {name: {key for key in state_of(run, name)["state_dict"] if ".bn0." in key} for name in TRAINED}
    assert names["float"] and not any(names[name] for name in TRAINED[1:])
    for name in TRAINED:
        assert predict_stage(run, name)["val_loss"] == rows[name]["val_loss"]


def test_bias_correction_behind_rounded_weights_is_refused(trained):
    run = Run(trained)
    run.checkpoint("calibration").unlink()
    trained["calibration_trainer"]["bias_correction"] = {}
    with pytest.raises(ConfigError, match="bias_correction compares integers .* leave bias_correction out"):
        run_stage(Run(trained), "calibration")
    assert not run.checkpoint("calibration").exists()


def test_calibration_leaves_the_weights_that_step_2_has_trained(trained):
    run = Run(trained)
    before, after = (state_of(run, name)["state_dict"] for name in ("qat", "calibration"))
    assert all(torch.equal(after[name], before[name]) for name in before if not name.startswith("network.sites."))


def test_ranges_come_from_a_few_batches_where_no_stage_finds_them(chain_config, caplog):
    chain_config["stages"] = [
        {"name": "float", "kind": "float"},
        {"name": "qat_31", "kind": "qat", "starts_from": "float"},
    ]
    for name in ("calibration", "qat", "qat_activations"):
        del chain_config[f"{name}_trainer"]
    with caplog.at_level("INFO", "hatlite"):
        run, _ = run_all(chain_config, ("float", "qat_31"))
    assert "its scales come from" in caplog.text
    assert torch.isfinite(state_of(run, "qat_31")["state_dict"]["network.sites.conv0.cap"])
