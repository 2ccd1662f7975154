import os

import pytest

from hatlite.engine import STAGE_KINDS, Run
from hatlite.engine.run import DEFAULT_STAGES
from hatlite.engine.validate import validate
from hatlite.errors import ConfigError


def test_defaults_are_filled_in_and_the_users_config_stays(tiny_config):
    del tiny_config["ckpt_dir"], tiny_config["seed"]
    run = Run(tiny_config)
    assert run.config["ckpt_dir"] == "./tmp_models/tiny"
    assert run.config["march"] == "bayes-sim"
    assert run.stages == DEFAULT_STAGES
    assert "ckpt_dir" not in tiny_config
    assert "data_loader" not in tiny_config["calibration_trainer"]


def test_one_dict_stays_one_dict(tiny_config):
    config = Run(tiny_config).config
    assert config["float_trainer"]["model"] is config["model"] is config["calibration_trainer"]["model"]


def test_loaders_take_the_seed_of_the_run_unless_they_have_one(tiny_config):
    tiny_config["val_data_loader"]["seed"] = 3
    config = Run(tiny_config).config
    assert config["float_trainer"]["data_loader"]["seed"] == 7
    assert config["val_data_loader"]["seed"] == 3


def test_calibration_sees_training_images_as_validation_does(tiny_config):
    wrapped = {"type": "RepeatDataset", "times": 2, "dataset": tiny_config["data_loader"]["dataset"]}
    wrapped["dataset"]["transforms"] = ["flip", "tensor"]
    tiny_config["data_loader"]["dataset"] = wrapped
    tiny_config["val_data_loader"]["dataset"]["transforms"] = ["tensor"]
    config = Run(tiny_config).config
    derived = config["calibration_trainer"]["data_loader"]
    assert derived["dataset"]["dataset"]["transforms"] == ["tensor"]
    assert derived["dataset"]["times"] == 2
    assert config["data_loader"]["dataset"]["dataset"]["transforms"] == ["flip", "tensor"]


def test_calibration_sees_no_transforms_of_wrappers(tiny_config):
    plain = tiny_config["data_loader"]["dataset"]
    parts = [{**plain, "transforms": ["flip", "tensor"]}, plain]
    joined = {"type": "ConcatDataset", "datasets": parts, "transforms": ["mosaic"]}
    phases = {
        "type": "BatchTransformDataset",
        "dataset": joined,
        "transforms_cfgs": [["mixup"], []],
        "epoch_steps": [9],
    }
    tiny_config["data_loader"]["dataset"] = phases
    tiny_config["val_data_loader"]["dataset"]["transforms"] = ["tensor"]
    derived = Run(tiny_config).config["calibration_trainer"]["data_loader"]
    seen = {**plain, "transforms": ["tensor"]}
    assert derived["dataset"] == {"type": "ConcatDataset", "datasets": [seen, seen]}


def test_a_calibration_loader_of_ones_own_is_kept(tiny_config):
    tiny_config["calibration_data_loader"] = {"own": True}
    assert Run(tiny_config).config["calibration_trainer"]["data_loader"]["own"]


def test_a_run_needs_a_name(tiny_config):
    del tiny_config["task_name"]
    with pytest.raises(ConfigError, match=r"config\['task_name'\] is missing; name the run"):
        Run(tiny_config)


def test_only_two_checkpoints_can_count(tiny_config):
    with pytest.raises(ConfigError, match=r"config\['stage_checkpoint'\] is 'first'; expected best or last"):
        Run({**tiny_config, "stage_checkpoint": "first"})


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([{"name": "a", "kind": "float", "form": 1}], r"stages'\]\[0\]: .*'form'; a stage has name, kind, starts_from"),
        ([{"name": "a", "kind": "float"}] * 2, r"\[1\]: stage 'a' is there twice; before it are \['a'\]"),
        ([{"name": "a", "kind": "qat", "starts_from": "b"}], r"\[0\]: stage 'a' starts from 'b', which does not come"),
        ([{"name": "a", "kind": "flaot"}], r"stages'\]: 'a' is of kind 'flaot'; there are float, .*\n.*mean 'float'"),
        (["float"], r"\[0\] is 'float'; expected a dict"),
    ],
)
def test_a_wrong_list_of_stages_is_refused(tiny_config, stages, said):
    config = {**tiny_config, "stages": stages}
    with pytest.raises(ConfigError, match=said):
        validate(Run(config), STAGE_KINDS)


def test_commands_are_quoted_for_the_shell(tiny_config):
    run = Run(tiny_config, source="a b.py", opts=["x=1"])
    assert run.command("qat", resume=True) == "python tools/train.py --stage qat --config 'a b.py' --opts x=1 --resume"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("task_name", 5, "a text"),
        ("ckpt_dir", 5, "a text or a path"),
        ("seed", "abc", "a whole number or None"),
        ("stages", "float", "a list"),
        ("gates", 0.9, "a dict"),
    ],
)
def test_entries_that_no_constructor_takes_are_checked_too(tiny_config, key, value, expected):
    with pytest.raises(ConfigError, match=rf"config\['{key}'\] is {value!r}; expected {expected}\."):
        Run({**tiny_config, key: value})


def test_a_run_is_what_the_command_line_names(tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text("task_name = 'tiny'\nseed = 1\n")
    run = Run.load(config, ["seed=5"], "cpu")
    assert (run.task_name, run.config["seed"], run.device) == ("tiny", 5, "cpu")
    assert run.command("qat") == f"python tools/train.py --stage qat --config {config} --opts seed=5 --device cpu"


def test_a_config_finds_the_stage_in_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("HAT_TRAINING_STEP", raising=False)
    text = "import os\ntask_name = 't'\ntraining_step = os.environ.get('HAT_TRAINING_STEP', 'float')\n"
    (tmp_path / "c.py").write_text(text)
    assert Run.load(tmp_path / "c.py", stage="qat").config["training_step"] == "qat"
    assert "HAT_TRAINING_STEP" not in os.environ
    assert Run.load(tmp_path / "c.py").config["training_step"] == "float"
    monkeypatch.setenv("HAT_TRAINING_STEP", "calibration")
    assert Run.load(tmp_path / "c.py", stage="qat").config["training_step"] == "qat"
    assert os.environ["HAT_TRAINING_STEP"] == "calibration"


def test_an_entry_that_is_missing_is_named(tiny_config):
    del tiny_config["val_data_loader"]
    config = Run(tiny_config).config
    assert config.get("val_data_loader") is None and "val_data_loader" not in config
    with pytest.raises(ConfigError, match=r"^config\['val_data_loader'\] is missing\.$"):
        config["val_data_loader"]
