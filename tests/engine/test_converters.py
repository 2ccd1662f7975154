import dataclasses
import hashlib
import re
import shutil
from pathlib import Path

import pytest
import torch

from hatlite.engine import (
    Calibration2QAT,
    Float2Calibration,
    LoadCheckpoint,
    QAT2Quantize,
    Run,
    export_stage,
    predict_stage,
    run_stage,
)
from hatlite.engine.checkpoint import load_checkpoint, save_checkpoint
from hatlite.engine.converters import Float2QAT, is_program, require_hash, require_own
from hatlite.engine.stages import lower_stage
from hatlite.errors import CheckpointError, ConfigError, ProgramError, StageError
from hatlite.program import IntProgram, Port, TensorType, dumps
from hatlite.program.samples import random_program


def pipeline(*converters, **more):
    named = [{"type": converter} if isinstance(converter, str) else converter for converter in converters]
    return {"type": "ModelConvertPipeline", "converters": named, **more}


def load(path, **more):
    return {"type": "LoadCheckpoint", "checkpoint_path": str(path), **more}


@pytest.fixture
def trained(tiny_config):
    """A config whose float stage has run."""
    tiny_config["stage_checkpoint"] = "last"
    run_stage(Run(tiny_config), "float")
    return tiny_config


@pytest.fixture
def calibrated(trained):
    run_stage(Run(trained), "calibration")
    return trained


def weights_of(config, stage):
    return load_checkpoint(Run(config).checkpoint(stage))["state_dict"]


def test_pipelines_as_configs_of_this_format_write_them_give_what_the_stages_give_by_themselves(trained, tmp_path):
    for name in ("calibration", "qat"):
        run_stage(Run(trained), name)
    folder = tmp_path / "run"
    explicit = {**trained, "ckpt_dir": str(tmp_path / "explicit")}
    modes = {"type": "Float2QAT", "convert_mode": "jit-strip"}
    params = {
        "activation_calibration_observer": "mse",
        "weight_calibration_observer": "min_max",
        "activation_qat_qkwargs": {"averaging_constant": 0},
        "weight_qat_qkwargs": {"averaging_constant": 1},
    }
    float_file = folder / "float-checkpoint-last.pth.tar"
    for stage, steps in (
        ("calibration", [load(float_file), {"type": "Float2Calibration", "convert_mode": "fx"}]),
        ("qat", [modes, load(tmp_path / "explicit" / "calibration-checkpoint-last.pth.tar")]),
    ):
        key = f"{stage}_trainer"
        given = pipeline(*steps, qat_mode="fuse_bn", qconfig_params=params)
        explicit[key] = {**trained[key], "model_convert_pipeline": given}
        run_stage(Run(explicit), stage)
        ours, theirs = weights_of(explicit, stage), weights_of(trained, stage)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_predictors_have_pipelines_too(calibrated):
    run = Run(calibrated)
    path = run.checkpoint("calibration")
    expected = predict_stage(run, "calibration")["mAP"]
    predictor = {
        "type": "Predictor",
        "model": calibrated["model"],
        "data_loader": calibrated["val_data_loader"],
        "metrics": {"type": "MeanScore"},
    }
    for steps in (["Float2Calibration", load(path)], ["Float2Calibration", load(path), "Calibration2QAT"]):
        given = {**predictor, "model_convert_pipeline": pipeline(*steps)}
        assert predict_stage(Run({**calibrated, "calibration_predictor": given}), "calibration")["mAP"] == expected
    given = {**predictor, "model_convert_pipeline": pipeline("Float2QAT", "LoadCheckpoint", "QAT2Quantize")}
    config = {**calibrated, "int_infer_predictor": given}
    assert predict_stage(Run(config), "int_infer", path)["mAP"] == expected


def test_a_pipeline_that_leaves_the_wrong_form_is_refused(trained):
    trained["calibration_trainer"]["model_convert_pipeline"] = pipeline("LoadCheckpoint")
    said = (
        "config['calibration_trainer']['model_convert_pipeline'] leaves the model in the form 'float', and stage"
        " 'calibration' needs 'calibration'; its own converters are LoadCheckpoint, Float2Calibration."
    )
    with pytest.raises(ConfigError, match=re.escape(said)):
        run_stage(Run(trained), "float")  # also where another stage has it


def test_scales_that_a_float_model_cannot_hold_are_not_lost_silently(calibrated):
    path = Run(calibrated).checkpoint("calibration")
    calibrated["qat_trainer"]["model_convert_pipeline"] = pipeline(load(path), "Float2QAT")
    with pytest.raises(ConfigError, match=r"lost its scales, which Float2QAT .*write Float2QAT first, then LoadCheck"):
        run_stage(Run(calibrated), "qat")


def test_qat_may_start_from_float_and_says_where_its_scales_come_from(trained, caplog):
    caplog.set_level("INFO")
    run_stage(Run(trained), "qat")
    assert "Stage 'qat' starts from float weights, so its scales come from 4 batches of its own training data" in (
        caplog.text
    )
    assert all(not value.isnan().any() for value in weights_of(trained, "qat").values())
    run_stage(Run(trained), "int_infer")
    trained["qat_trainer"]["model_convert_pipeline"] = pipeline("LoadCheckpoint", "Float2QAT")
    before = weights_of(trained, "qat")
    run_stage(Run(trained), "qat")
    after = weights_of(trained, "qat")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_qat_from_float_resumes_to_the_same_weights(trained):
    run_stage(Run(trained), "qat")
    expected = weights_of(trained, "qat")
    callbacks = trained["qat_trainer"]["callbacks"]
    trained["qat_trainer"]["callbacks"] = [{"type": "InterruptAt", "step": 1}, *callbacks]
    with pytest.raises(KeyboardInterrupt):
        run_stage(Run(trained), "qat")
    trained["qat_trainer"]["callbacks"][0] = {"type": "InterruptAt", "step": 99}
    run_stage(Run(trained), "qat", resume=True)
    found = weights_of(trained, "qat")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_what_the_model_names_as_pretrained_starts_qat_where_there_is_nothing_else(trained, tmp_path):
    kept = shutil.copy(Run(trained).checkpoint("float"), tmp_path / "float.pth.tar")
    trained["ckpt_dir"] = str(tmp_path / "other")
    trained["model"]["pretrained"] = str(kept)
    run_stage(Run(trained), "qat")
    torch.save({"w": torch.ones(1)}, tmp_path / "classifier.pth")
    trained["ckpt_dir"] = str(tmp_path / "third")
    trained["model"]["pretrained"] = str(tmp_path / "classifier.pth")
    with pytest.raises(StageError, match="Stage 'qat' starts from .*which does not exist"):
        run_stage(Run(trained), "qat")


def test_int_infer_is_evaluated_from_a_program_under_any_name_or_from_a_checkpoint(calibrated, tmp_path):
    run = Run(calibrated)
    expected = predict_stage(run, "int_infer", run.checkpoint("calibration"))["mAP"]
    assert not run.program().exists()
    program = export_stage(run)
    alias = shutil.copy(program, tmp_path / "quantized.bc")
    assert predict_stage(run, "int_infer")["mAP"] == predict_stage(run, "int_infer", alias)["mAP"] == expected
    with pytest.raises(
        StageError, match=r"quantized.bc is an integer program, and stage 'calibration' .*--stage int_i"
    ):
        predict_stage(run, "calibration", alias)


def test_export_and_int_infer_write_the_same_program(calibrated):
    run = Run(calibrated)
    assert not run.program().exists()
    lowered = lower_stage(run)
    assert not run.program().exists() and not (run.folder / "certificate.json").exists()
    exported = export_stage(run).read_bytes()
    assert dumps(lowered) == exported
    assert (run.folder / "certificate.json").is_file()
    assert not (run.folder / "alignment.json").exists()
    run_stage(Run(calibrated), "int_infer")
    assert run.program().read_bytes() == exported
    run.program().unlink()
    assert export_stage(run, run.checkpoint("calibration")).read_bytes() == exported


def test_a_pipeline_that_lowers_nothing_is_refused(calibrated):
    program = export_stage(Run(calibrated))
    loads = {"type": "LoadHbir", "model_path": str(program)}
    calibrated["int_infer_trainer"] = {"type": "Trainer", "model_convert_pipeline": pipeline(loads)}
    with pytest.raises(
        StageError, match="stage 'int_infer' lowers no checkpoint; its own converters are Float2QAT, Lo"
    ):
        export_stage(Run(calibrated))


def test_export_needs_no_data_where_the_config_has_an_example(calibrated):
    calibrated["deploy_inputs"] = {"img": torch.zeros(1, 3, 8, 8)}
    calibrated["val_data_loader"]["dataset"]["length"] = 0
    assert export_stage(Run(calibrated)).is_file()


def test_export_before_anything_says_what_to_run(tiny_config):
    with pytest.raises(StageError, match=r"'int_infer' starts from .*\n  Run this first: .*--stage qat"):
        export_stage(Run(tiny_config))
    only = {**tiny_config, "stages": [{"name": "float", "kind": "float"}]}
    with pytest.raises(StageError, match="lists no stage of kind 'int_infer'"):
        export_stage(Run(only))


def test_a_missing_file_of_a_stage_says_which_command_leaves_it(tiny_config):
    run = Run(tiny_config)
    path = run.checkpoint("float", "last")
    tiny_config["qat_trainer"]["model_convert_pipeline"] = pipeline("Float2QAT", load(path))
    with pytest.raises(
        CheckpointError, match=r"no checkpoint .*float-checkpoint-last.*\n  Run this first: .*stage float"
    ):
        run_stage(Run(tiny_config), "qat")


def test_a_pipeline_without_a_place_for_a_checkpoint_says_so(calibrated):
    calibrated["float_predictor"] = {
        "type": "Predictor",
        "model": calibrated["model"],
        "data_loader": calibrated["val_data_loader"],
        "metrics": {"type": "MeanScore"},
        "model_convert_pipeline": pipeline(),
    }
    calibrated["float_trainer"]["model_convert_pipeline"] = pipeline()
    run = Run(calibrated)
    with pytest.raises(StageError, match="of stage 'float' has no LoadCheckpoint, so .* has no place in it; add dict"):
        predict_stage(run, "float", run.checkpoint("float"))


def rewritten(config, path, change):
    """Write the float checkpoint of `config` to `path` with other weights."""
    state = load_checkpoint(Run(config).checkpoint("float"))
    change(state["ema_state_dict"])
    save_checkpoint(state, path)
    return path


def test_what_is_missing_or_left_over_is_an_error_until_it_is_allowed(trained, tmp_path, caplog):
    caplog.set_level("INFO")

    def change(weights):
        weights["network.extra"] = torch.ones(1)
        del weights["network.conv.weight"]

    path = rewritten(trained, tmp_path / "changed.pth.tar", change)
    for more, message in (
        ({}, "lacks network.conv.weight.*\n  It has unknown network.extra"),
        ({"allow_miss": True}, "model of .*\n  It has unknown network.extra"),
        ({"ignore_extra": True}, "model of .*\n  It lacks network.conv.weight"),
    ):
        trained["calibration_trainer"]["model_convert_pipeline"] = pipeline(load(path, **more), "Float2Calibration")
        with pytest.raises(CheckpointError, match=message):
            run_stage(Run(trained), "calibration")
    both = load(path, allow_miss=True, ignore_extra=True, verbose=True)
    trained["calibration_trainer"]["model_convert_pipeline"] = pipeline(both, "Float2Calibration")
    run_stage(Run(trained), "calibration")
    assert "kept what it lacks, ['network.conv.weight']; left out ['network.extra']" in caplog.text


def test_a_function_of_the_config_may_change_the_names(trained, tmp_path):
    path = rewritten(trained, tmp_path / "renamed.pth.tar", lambda w: w.update({"old.w": w.pop("network.conv.weight")}))
    step = load(
        path, state_dict_update_func=lambda w: {name.replace("old.w", "network.conv.weight"): w[name] for name in w}
    )
    trained["calibration_trainer"]["model_convert_pipeline"] = pipeline(step, "Float2Calibration")
    run_stage(Run(trained), "calibration")
    step["state_dict_update_func"] = lambda weights: None
    with pytest.raises(CheckpointError, match="state_dict_update_func returned None for .*renamed.pth.tar; it returns"):
        run_stage(Run(trained), "calibration")


def test_a_name_with_a_hash_must_be_true(tmp_path):
    content = b"a checkpoint"
    digits = hashlib.sha256(content).hexdigest()[:8]
    for name in (f"x-{digits}.pth.tar", f"x-{digits}.pth", "float-checkpoint-last.pth.tar"):
        (tmp_path / name).write_bytes(content)
        require_hash(tmp_path / name)
    (tmp_path / "x-00000000.pth.tar").write_bytes(content)
    said = rf"x-00000000.pth.tar was changed after it was named: its SHA-256 begins with {digits}; rename it, or give"
    with pytest.raises(CheckpointError, match=said):
        require_hash(tmp_path / "x-00000000.pth.tar")


def test_the_hash_beside_a_checkpoint_must_be_its_own(tmp_path):
    file, beside = tmp_path / "x.pth.tar", tmp_path / "x.pth.tar.sha256"
    file.write_bytes(b"content")
    beside.write_text(f"{hashlib.sha256(b'content').hexdigest()}  x.pth.tar\n")
    require_hash(file)
    file.write_bytes(b"changed")
    with pytest.raises(CheckpointError, match=r"is not the file whose hash x.pth.tar.sha256 holds: its SHA-256 is"):
        require_hash(file)
    beside.write_text("")
    with pytest.raises(CheckpointError, match=r"restore it, remove that file, or give LoadCheckpoint check_hash=False"):
        require_hash(file)


def test_the_hash_is_looked_at_unless_told_not_to(trained, tmp_path):
    path = shutil.copy(Run(trained).checkpoint("float"), tmp_path / "float-00000000.pth.tar")
    with pytest.raises(CheckpointError, match="was changed after it was named"):
        predict_stage(Run(trained), "float", path)
    trained["float_predictor"] = {
        "type": "Predictor",
        "model": trained["model"],
        "data_loader": trained["val_data_loader"],
        "metrics": {"type": "MeanScore"},
        "model_convert_pipeline": pipeline(load(path, check_hash=False)),
    }
    assert predict_stage(Run(trained), "float")["images"] == 4


def test_ways_of_capture_are_accepted_by_name():
    assert all(kind("eager").convert_mode == "eager" for kind in (Calibration2QAT, Float2Calibration, QAT2Quantize))
    assert Float2QAT("jit-strip") == Float2QAT(convert_mode="jit-strip")
    with pytest.raises(
        ConfigError, match="Float2QAT: convert_mode is 'fxx'; expected one of eager, fx, .*\n.*mean 'fx'"
    ):
        Float2QAT("fxx")


def test_programs_are_known_by_their_names(tmp_path):
    assert [is_program(tmp_path / name) for name in ("a.hbir", "a.bc", "a.pth.tar")] == [True, True, False]
    assert LoadCheckpoint().reads_stage_file
    assert not LoadCheckpoint("x").reads_stage_file


def test_a_missing_start_names_what_the_stage_could_start_from_and_not_what_it_leaves(calibrated):
    calibrated["qat_trainer"]["model_convert_pipeline"] = pipeline("Float2QAT", load("nope.pth.tar"))
    said = r"no checkpoint nope.pth.tar.\n  Name another file, or leave checkpoint_path out to start from \S+/"
    with pytest.raises(CheckpointError, match=said + r"calibration-checkpoint-last.pth.tar\.$"):
        run_stage(Run(calibrated), "qat")
    Run(calibrated).checkpoint("calibration").unlink()
    with pytest.raises(CheckpointError, match=said + r"float-checkpoint-last.pth.tar\.$"):
        run_stage(Run(calibrated), "qat")
    Run(calibrated).checkpoint("float").unlink()
    with pytest.raises(CheckpointError, match=said + "calibration-.*, which this makes: .* --stage calibration"):
        run_stage(Run(calibrated), "qat")
    calibrated["float_trainer"]["model_convert_pipeline"] = pipeline(load("nope.pth.tar"))
    with pytest.raises(CheckpointError, match="or leave checkpoint_path out to start from nothing"):
        run_stage(Run(calibrated), "float")
    with pytest.raises(CheckpointError, match="or leave --ckpt out to start from .*qat-checkpoint-last.pth.tar, which"):
        export_stage(Run(calibrated), "nope.pth.tar")


def test_a_program_of_other_classes_is_refused(tiny_config):
    run = Run({**tiny_config, "classes": ["cat", "dog"]})
    own = dataclasses.replace(random_program(3), march="bayes-sim", metadata={"classes": ["cat", "dog"]})
    require_own(run, own, "a.hbir")
    require_own(run, dataclasses.replace(own, metadata={}), "a.hbir")
    other = dataclasses.replace(own, metadata={"classes": ["dog", "cat"]})
    said = r"its classes are others \(class 0 is 'dog' in it and 'cat' in the config\)\.\n  Take "
    with pytest.raises(ProgramError, match=said):
        require_own(run, other, "a.hbir")


def images_of(config, image_format):
    """Give the validation data of `config` transforms that make 5-bit pixels."""
    transforms = [{"type": "ToTensor", "image_format": image_format}, {"type": "QuantizePixels", "bits": 5}]
    loader = config["val_data_loader"]
    return {**config, "val_data_loader": {**loader, "dataset": {**loader["dataset"], "transforms": transforms}}}


def test_what_was_trained_on_other_images_is_not_evaluated(tiny_config):
    tiny_config["stage_checkpoint"] = "last"
    run_stage(Run(images_of(tiny_config, "BGR")), "float")
    predict_stage(Run(images_of(tiny_config, "BGR")), "float")
    with pytest.raises(CheckpointError, match=r"float-checkpoint-last.* its image_format is BGR and not RGB; take"):
        predict_stage(Run(images_of(tiny_config, "RGB")), "float")


def test_a_program_of_other_images_is_refused(tiny_config):
    known = {"image_format": "BGR", "input_bits": 5}
    program = dataclasses.replace(random_program(3), march="bayes-sim", metadata=known)
    require_own(Run(images_of(tiny_config, "BGR")), program, "a.hbir")
    require_own(Run(tiny_config), program, "a.hbir")
    with pytest.raises(ProgramError, match=r"a.hbir belongs to another config: its image_format is BGR and not RGB\."):
        require_own(Run(images_of(tiny_config, "RGB")), program, "a.hbir")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"march": "tidl"}, "its march is 'tidl' and not 'bayes-sim'"),
        ({"metadata": {"task_name": "huge", "num_classes": 3}}, "its task_name is 'huge' .*, its num_classes is 3 and"),
        ({}, "its image size is '12×8' and not '16×16'"),
    ],
)
def test_a_program_of_another_config_is_refused(tiny_config, changes, said):
    kind = TensorType((12, 8, 3), "int8", 1.0)
    program = IntProgram("p", "bayes-sim", (Port("img", "x", "int8", 1.0),), (), (), {"x": kind})
    size = (16, 16) if not changes else (12, 8)
    run = Run({**tiny_config, "deploy_inputs": {"img": torch.zeros(1, 3, *size)}})
    with pytest.raises(
        ProgramError, match=rf"a\.hbir belongs to another config: {said}.*\n  Take .*tiny\.hbir, or run"
    ):
        require_own(run, dataclasses.replace(program, **changes), Path("a.hbir"))
    if changes:
        require_own(run, program, Path("a.hbir"))
        with pytest.raises(ProgramError, match=r"\n  Take the config and --opts that it was lowered with, or run"):
            require_own(run, dataclasses.replace(program, **changes), run.program())
