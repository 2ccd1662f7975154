import copy
import re

import pytest
import torch

from hatlite.engine import Run
from hatlite.engine.vocabulary import drift, name_problems, section_names
from hatlite.errors import ConfigError

FULL = {
    "VERSION": "v2",
    "training_step": "float",
    "batch_size_per_gpu": 24,
    "device_ids": [0, 1],
    "cudnn_benchmark": True,
    "log_rank_zero_only": True,
    "convert_mode": "jit-strip",
    "bn_kwargs": {},
    "calibration_step": 100,
    "log_dir": None,
    "compile_cfg": {"march": "bayes-sim", "name": "model", "out_dir": ".", "input_source": {"img": "pyramid"}},
    "deploy_inputs": {"img": torch.zeros(1, 3, 8, 8)},
}


def told(config):
    return [str(problem) for problem in name_problems(Run(config))]


def test_the_names_of_this_format_are_known(tiny_config):
    assert told({**tiny_config, **FULL}) == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("VERSION", "v3", "config['VERSION'] is 'v3'; expected one of v2, ConfigVersion.v2."),
        ("VERSION", 2, "config['VERSION'] is 2; expected a text."),
        (
            "convert_mode",
            "jit_strip",
            "config['convert_mode'] is 'jit_strip'; expected one of eager, fx, jit, jit-strip.",
        ),
        (
            "training_step",
            "flaot",
            "is 'flaot'; expected one of float, calibration, qat, int_infer, align_bpu.\n  Did you",
        ),
        ("device_ids", "0,1", "config['device_ids'] is '0,1'; expected a list (each a whole number)."),
        ("calibration_step", 1.5, "config['calibration_step'] is 1.5; expected a whole number."),
        ("deploy_inputs", {"img": [1, 3, 8, 8]}, "has {'img': [1, 3, 8, 8]}; expected dict(img=torch.randn(1, 3, 512"),
        ("deploy_inputs", {"image": torch.zeros(1, 3, 8, 8)}, "has {'image': [1, 3, 8, 8]}; expected dict(img="),
        (
            "calops_cfg",
            {"methd": "fx"},
            "config['calops_cfg'] has no key 'methd'; it takes method, input_shape.\n  Did you",
        ),
        ("calops_cfg", {"method": "trace"}, "['method'] is 'trace'; expected one of 'hook', 'fx'."),
        ("compile_cfg", {"march": 3}, "config['compile_cfg']['march'] is 3; expected a text."),
        (
            "compile_cfg",
            {"march": "tidl"},
            "config['compile_cfg']['march'] is 'tidl' and config['march'] is 'bayes-sim', which programs are lowered",
        ),
        ("compile_cfg", {"opt": "O9"}, "config['compile_cfg']: opt is 9; expected one of 0, 1, 2, 3"),
        (
            "compile_cfg",
            {"input_source": ["foo"]},
            "['input_source'] is ['foo']; expected one of 'ddr', 'pyramid', 'resizer' or a list (each one of 'ddr', ",
        ),
        ("compile_cfg", {"input_layout": "CHW"}, "['input_layout'] is 'CHW'; expected one of 'NHWC', 'NCHW', 'BPU_"),
        ("compile_cfg", {"layer_details": 3}, "['layer_details'] is 3; expected True or False."),
        ("compile_cfg", {"jobs": "all"}, "['jobs'] is 'all'; expected a whole number."),
        ("compile_cfg", {"split_dim": [1]}, "['split_dim'] is [1]; expected a dict or None."),
        ("compile_cfg", {"hbm": 1}, "['hbm'] is 1; expected a text or a path."),
        ("infer_cfg", [], "config['infer_cfg'] is []; expected a dict with model,"),
        ("deploy_inputs", [1, 3], "config['deploy_inputs'] is [1, 3]; expected a dict."),
    ],
)
def test_a_wrong_value_is_told(tiny_config, name, value, message):
    (problem,) = told({**tiny_config, name: value})
    assert message in problem


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("flaot_trainer", "float_trainer"),
        ("int_infre_predictor", "int_infer_predictor"),
        ("vla_data_loader", "val_data_loader"),
        ("compile_cgf", "compile_cfg"),
        ("deploy_modle", "deploy_model"),
    ],
)
def test_a_misspelt_section_is_told_with_the_nearest_name(tiny_config, name, near):
    expected = f"config[{name!r}] is read by nothing.\n  Did you mean {near!r}?"
    assert told({**tiny_config, name: {"type": "Whatever"}}) == [expected]


def test_objects_of_the_configs_own_may_be_used_further_down(tiny_config, caplog):
    tiny_config["val_callback"] = tiny_config["float_trainer"]["callbacks"][2]
    tiny_config["trainer_of_mine"] = {"no": "type"}
    assert told(tiny_config) == []
    assert caplog.text == ""
    tiny_config["freeze_callback"] = {"type": "FreezeModule"}
    assert told(tiny_config) == []
    assert "config['freeze_callback'] is used nowhere in the config, and nothing reads that name." in caplog.text


def test_stages_of_ones_own_have_sections(tiny_config):
    assert "again_trainer" in section_names(["again"])
    stages = [{"name": "again", "kind": "float"}]
    assert told({**tiny_config, "stages": stages, "again_trainer": tiny_config["float_trainer"]}) == []


MODEL = {
    "type": "FCOS",
    "backbone": {"type": "efficientnet", "model_type": "b0"},
    "neck": {"type": "BiFPN", "out_strides": [8, 16]},
    "head": {"type": "FCOSHead", "num_classes": 3, "dequant_output": True, "int16_output": True},
    "targets": {"type": "DynamicFcosTarget"},
}


def deployed(part, **changes):
    found = copy.deepcopy(MODEL)
    del found["targets"]
    found[part].update(changes)
    return found


def test_the_deployed_model_is_the_same_network():
    changes = {"dequant_output": False, "int16_output": False, "int8_output": True}
    assert drift(MODEL, deployed("head", **changes)) == []
    assert drift(MODEL, deployed("neck", out_strides=(8, 16))) == []
    assert drift(MODEL, None) == []
    assert drift(MODEL, {**MODEL, "post_process": {"type": "Other"}}) == []


@pytest.mark.parametrize(
    ("part", "changes", "where"),
    [
        (
            "backbone",
            {"model_type": "b1"},
            "config['deploy_model']['backbone']['model_type'] is 'b1' and config['model']",
        ),
        ("neck", {"out_strides": [8]}, "config['deploy_model']['neck']['out_strides'] is [8] and"),
        ("neck", {"stack": 3}, "['neck']['stack'] is 3 and config['model']['neck']['stack'] is left out;"),
        (
            "head",
            {"num_classes": 2},
            "['head']['num_classes'] is 2 and config['model']['head']['num_classes'] is 3; both",
        ),
    ],
)
def test_a_drift_names_the_key_that_differs(part, changes, where):
    (problem,) = drift(MODEL, deployed(part, **changes))
    assert isinstance(problem, ConfigError)
    assert re.search(re.escape(where), str(problem))
    assert str(problem).endswith("make them equal, or leave deploy_model out, which is then derived.")


def test_another_detector_is_a_drift():
    (problem,) = drift(MODEL, {**deployed("neck"), "type": "SSD"})
    assert "config['deploy_model']['type'] is 'SSD' and config['model']['type'] is 'FCOS'" in str(problem)


@pytest.mark.parametrize(
    ("name", "value", "near"),
    [
        ("marhc", "foo", "march"),
        ("seeed", 3, "seed"),
        ("sed", 3, "seed"),
        ("calibration_stepp", 7, "calibration_step"),
        ("device_ids_", [0], "device_ids"),
        ("gatez", None, "gates"),
    ],
)
def test_a_misspelt_plain_name_is_told_where_the_right_one_is_not_set(tiny_config, name, value, near):
    tiny_config.pop("seed")
    expected = f"config[{name!r}] is read by nothing.\n  Did you mean {near!r}?"
    assert told({**tiny_config, name: value}) == [expected]
    tiny_config[near] = {"march": "bayes-sim", "seed": 0, "calibration_step": 3, "device_ids": [0], "gates": {}}[near]
    assert told({**tiny_config, name: value}) == []


def test_plain_names_of_the_configs_own_are_free(tiny_config):
    own = {"lr": 0.1, "qat_lr": 0.01, "batch_size": 2, "image_size": (8, 8), "strides": [8], "search": 1, "steps": 7}
    assert told({**tiny_config, **own, "num_epochs": 3, "models": 3, "seeing": 1, "des": 1}) == []


def test_a_name_that_the_config_uses_is_its_own(tmp_path):
    file = tmp_path / "variant.py"
    file.write_text("import sibling\ntask_name = 'a'\ncalibration_steps, stage = 7, 'x'\n")
    (tmp_path / "sibling.py").write_text("calibration_steps = 3\nnum_steps = calibration_steps\n")
    run = Run.load(str(file))
    assert [str(problem) for problem in name_problems(run)] == [
        "config['stage'] is read by nothing.\n  Did you mean 'stages'?"
    ]


@pytest.mark.parametrize("key", ["input_path", "process_inputs", "process_outputs"])
def test_other_keys_of_infer_cfg_are_answered_with_what_to_write(tiny_config, key):
    (problem,) = told({**tiny_config, "infer_cfg": {key: "a.jpg"}})
    assert re.search(rf"^config\['infer_cfg'\] has no key '{key}': .*(write|give) .*\.$", problem)
    assert "Did you mean" not in problem


def test_helpers_of_infer_cfg_may_stay(tiny_config):
    helpers = {"infer_transforms": [], "process_inputs": print, "process_outputs": print}
    assert told({**tiny_config, **helpers}) == []
