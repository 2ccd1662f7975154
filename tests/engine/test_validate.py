import re

import pytest
import torch
from torch import nn

from hatlite.engine import STAGE_KINDS, Run, run_stage
from hatlite.engine.validate import find_problems, validate
from hatlite.errors import (
    BuildError,
    CaptureError,
    ConfigError,
    DataError,
    DataNotFoundError,
    MarchError,
    QuantizationError,
    StageError,
    UnknownTypeError,
)
from hatlite.registry import OBJECT_REGISTRY

Tiny = OBJECT_REGISTRY.get("TinyDetector")


@OBJECT_REGISTRY.register
class TinyWithSoftmax(Tiny):
    def __init__(self):
        super().__init__()
        self.network.relu = nn.Softmax(dim=1)


@OBJECT_REGISTRY.register
class TinyOfOneSize(Tiny):
    def check_size(self, height, width):
        if (height, width) != (8, 8):
            raise DataError(f"img is {height}×{width}; resize it to 8×8")


def test_a_good_config_has_no_problems(tiny_config):
    assert find_problems(Run(tiny_config), STAGE_KINDS) == []


def test_problems_of_all_stages_are_told_together_and_each_once(tiny_config):
    tiny_config["model"]["typ"] = 1  # in all trainers
    tiny_config["qat_trainer"]["batch_procesor"] = None
    tiny_config["val_data_loader"]["dataset"]["type"] = "TinyDataste"
    tiny_config["data_loader"]["dataset"]["ann_file"] = "/nowhere/a.json"
    with pytest.raises(ConfigError, match="5 problems in the config CONFIG") as caught:
        run_stage(Run(tiny_config), "float")
    kinds = [type(problem) for problem in caught.value.problems if not isinstance(problem, DataNotFoundError)]
    assert kinds.count(UnknownTypeError) == 1
    assert kinds.count(BuildError) == 3  # ann_file is no key of TinyDataset either
    text = str(caught.value)
    assert text.count("'typ'") == 1
    assert "config['model']: TinyDetector got an unexpected key 'typ'." in text
    assert "config['qat_trainer']: Trainer got an unexpected key 'batch_procesor'." in text
    assert "Did you mean 'TinyDataset'?" in text
    assert "config['data_loader']['dataset']['ann_file'] is '/nowhere/a.json', which does not exist here" in text


@pytest.mark.parametrize("value", ["VOCMApMetric", 3, ["VOCMApMetric"]])
@pytest.mark.parametrize("key", ["val_metrics", "train_metrics", "callbacks", "batch_processor"])
def test_a_part_of_a_trainer_that_is_a_text_or_a_number_is_told(tiny_config, key, value):
    tiny_config["float_trainer"][key] = value
    (problem,) = find_problems(Run(tiny_config), STAGE_KINDS)
    assert re.match(
        rf"config\['float_trainer'\]\['{key}'\] is .*; Trainer expects .*a dict whose type is a", str(problem)
    )


@pytest.mark.parametrize("key", ["model", "data_loader", "val_data_loader", "num_classes"])
def test_a_missing_entry_is_named(tiny_config, key):
    del tiny_config[key]
    with pytest.raises(ConfigError, match=rf"config\['{key}'\] is missing"):
        validate(Run(tiny_config), STAGE_KINDS)


@pytest.mark.parametrize("value", [0, "2", True, 2.5])
def test_num_classes_is_a_whole_number(tiny_config, value):
    with pytest.raises(ConfigError, match=r"num_classes'\] is .*; expected a whole number from 1 up"):
        validate(Run({**tiny_config, "num_classes": value}), STAGE_KINDS)


def test_a_gate_of_no_stage_is_refused(tiny_config):
    with pytest.raises(StageError, match=r"config\['gates'\] names 'qta', which is no stage; stages are float, "):
        validate(Run({**tiny_config, "gates": {"qta": 0.5}}), STAGE_KINDS)


def test_an_entry_that_is_no_dict_is_refused(tiny_config):
    with pytest.raises(ConfigError, match=r"config\['qat_trainer'\] is 3; expected a dict with a type"):
        validate(Run({**tiny_config, "qat_trainer": 3}), STAGE_KINDS)


def test_an_unknown_march_is_refused_before_anything_runs(tiny_config):
    with pytest.raises(MarchError, match="bayes-sin"):
        validate(Run({**tiny_config, "march": "bayes-sin"}), STAGE_KINDS)


def test_an_optimizer_may_be_an_entry_of_its_own(tiny_config):
    tiny_config["optimizer"] = {"type": torch.optim.SGD, "lr": 1.0}
    tiny_config["float_trainer"]["optimizer"] = tiny_config["optimizer"]
    validate(Run(tiny_config), STAGE_KINDS)


@pytest.mark.parametrize("key", ["data_path", "ann_file", "img_path"])
def test_a_path_of_the_data_that_does_not_exist_is_told(tiny_config, key):
    tiny_config["val_data_loader"]["dataset"] |= {key: "/nowhere"}
    text = rf"config\['val_data_loader'\]\['dataset'\]\['{key}'\] is '/nowhere', which does not exist here; "
    with pytest.raises(ConfigError, match=text):
        validate(Run(tiny_config), STAGE_KINDS)


def test_wrong_values_in_two_stages_are_told_together(tiny_config):
    tiny_config["float_trainer"]["num_epochs"] = "many"
    tiny_config["qat_trainer"] = {**tiny_config["qat_trainer"], "channels_last": 3}
    with pytest.raises(ConfigError, match="2 problems in the config") as caught:
        run_stage(Run(tiny_config), "float")
    text = str(caught.value)
    assert "config['float_trainer']['num_epochs'] is 'many'; Trainer expects a whole number there" in text
    assert "config['qat_trainer']['channels_last'] is 3; Trainer expects True or False there" in text


def test_a_missing_folder_is_told_once_and_not_for_all_that_lies_below(tiny_config):
    tiny_config["data_path"] = "/nowhere"
    tiny_config["sets"] = [{"data_path": "/nowhere/train_lmdb"}, {"data_path": "/elsewhere/val_lmdb"}]
    with pytest.raises(ConfigError, match="2 problems") as caught:
        validate(Run(tiny_config), STAGE_KINDS)
    text = str(caught.value)
    assert "config['data_path'] is '/nowhere', which does not exist here; put the data there, or set it" in text
    assert "['data_path'] is '/elsewhere/val_lmdb', which does not exist here; pack it with tools/mscoco_packer" in text


def test_the_tutorials_folder_is_answered_with_the_packers(tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        DataNotFoundError, match=r"pack it with tools/mscoco_packer.py, or set .*\n  Did you mean 'tmp_data/ms"
    ):
        validate(Run({**tiny_config, "sets": {"data_path": "./tmp_data/coco/train_lmdb/"}}), STAGE_KINDS)


def test_the_place_of_the_march_is_named(tiny_config):
    with pytest.raises(MarchError, match=r"^config\['march'\]: march is 7"):
        validate(Run({**tiny_config, "march": 7}), STAGE_KINDS)


def test_a_rule_that_matches_nothing_is_told_before_the_float_stage_runs(tiny_config):
    tiny_config["qconfig"] = {"type": "QConfig", "rules": {"hade": {"dtype": "int16"}}}
    with pytest.raises(QuantizationError, match=r"\['rules'\]\['hade'\] matches no operation") as caught:
        run_stage(Run(tiny_config), "float")
    assert "Did you mean 'head'?" in str(caught.value)
    tiny_config["qconfig"]["rules"] = {"type:ReLU": {}}
    with pytest.raises(QuantizationError, match=r"\['type:ReLU'\] matches no operation"):
        validate(Run(tiny_config), STAGE_KINDS)  # the ReLU belongs to the convolution
    tiny_config["qconfig"]["rules"] = {"head": {"dtype": "int16"}, "type:Conv2d": {"learn": True}}
    validate(Run(tiny_config), STAGE_KINDS)


def test_16_bit_weights_on_a_march_without_them_are_told_before_the_float_stage_runs(tiny_config):
    tiny_config["qconfig"] = {"type": "QConfig", "first_and_last": "int16"}
    said = r"\['first_and_last'\] is 'int16'; the march 'bayes-sim' has weights of int8 only"
    with pytest.raises(QuantizationError, match=said):
        run_stage(Run(tiny_config), "float")
    validate(Run({**tiny_config, "march": "tidl"}), STAGE_KINDS)


def test_a_scale_that_is_none_is_told_before_the_float_stage_runs(tiny_config):
    tiny_config["qconfig"] = {"type": "QConfig", "rules": {"quant": {"scale": -1.0}}}
    with pytest.raises(QuantizationError, match=r"An activation's scale is -1.0; expected a finite number above 0"):
        run_stage(Run(tiny_config), "float")


def test_a_wrong_order_of_converters_is_told_with_the_rest(tiny_config):
    wrong = {"type": "ModelConvertPipeline", "converters": [{"type": "QAT2Quantize"}, {"type": "Float2QAT"}]}
    tiny_config["qat_trainer"]["model_convert_pipeline"] = wrong
    said = r"config\['qat_trainer'\]\['model_convert_pipeline'\]: ModelConvertPipeline: converters\[0\], QAT2Quantize"
    with pytest.raises(ConfigError, match=said):
        validate(Run(tiny_config), STAGE_KINDS)


def test_contradicting_modes_of_batch_norm_are_told(tiny_config):
    pipeline = {"type": "ModelConvertPipeline", "converters": [], "qat_mode": "fuse_bn"}
    tiny_config["deploy_model_convert_pipeline"] = pipeline
    tiny_config["qconfig"] = {"type": "QConfig", "bn": "train"}
    with pytest.raises(
        ConfigError, match=r"\['bn'\] is 'train' and a model_convert_pipeline has qat_mode='fuse_bn', whi"
    ):
        validate(Run(tiny_config), STAGE_KINDS)


def test_two_marches_are_told(tiny_config):
    tiny_config["qconfig"] = {"type": "QConfig", "march": "tidl"}
    with pytest.raises(
        ConfigError, match=r"\['march'\] is 'tidl' and config\['march'\] is 'bayes-sim'; leave it out of"
    ):
        validate(Run(tiny_config), STAGE_KINDS)


def test_what_a_stage_reads_is_checked_even_if_this_one_does_not_read_it(tiny_config):
    tiny_config["qat_data_loader"] = {**tiny_config["data_loader"], "batch_sise": 3}
    with pytest.raises(ConfigError, match=r"config\['qat_data_loader'\]: .* got an unexpected key 'batch_sise'"):
        validate(Run(tiny_config), STAGE_KINDS)


@pytest.mark.parametrize("wrong", [{"save_dir": "elsewhere"}, {"name_prefix": "best-"}])
def test_a_checkpoint_that_nobody_would_find_is_told_before_the_stage_runs(tiny_config, wrong):
    tiny_config["float_trainer"]["callbacks"][3] = {"type": "Checkpoint", **wrong}
    run = Run(tiny_config)
    wanted = run.checkpoint("float")
    written = f"elsewhere/{wanted.name}" if "save_dir" in wrong else wanted.with_name("best-checkpoint-best.pth.tar")
    with pytest.raises(ConfigError) as caught:
        run_stage(run, "float")
    assert str(caught.value) == (
        f"config['float_trainer']['callbacks'][3]: Checkpoint writes {written}, and what follows stage 'float' reads"
        f" {wanted}; leave save_dir and name_prefix out, or write save_dir=ckpt_dir and name_prefix='float-'. One that"
        " keeps files elsewhere may stand beside it."
    )
    assert not run.folder.exists()
    validate(run, STAGE_KINDS, stage=run.stage("qat"))


def test_a_second_checkpoint_may_go_elsewhere_and_a_config_may_spell_out_the_place(tiny_config, tmp_path):
    run = Run(tiny_config)
    tiny_config["float_trainer"]["callbacks"][3:] = [
        {"type": "Checkpoint", "save_dir": str(tmp_path / "elsewhere")},
        {"type": "Checkpoint", "save_dir": f"{run.folder}/../run/", "name_prefix": "float-"},
    ]
    run_stage(Run(tiny_config), "float")
    names = {"float-checkpoint-best.pth.tar", "float-checkpoint-last.pth.tar"}
    assert names <= {path.name for path in run.folder.iterdir()}
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == names


def test_the_place_of_a_wrong_checkpoint_is_told_once(tiny_config):
    tiny_config["float_trainer"]["callbacks"][3] = {"type": "Checkpoint", "save_interval": 0}
    with pytest.raises(ConfigError, match="save_interval is 0; expected at least 1 epoch"):
        run_stage(Run(tiny_config), "float")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (
            {"classes": ["cat", "dog", "cow"]},
            r"num_classes'\] is 2, and config\['classes'\] has 3 names; write num",
        ),
        ({"classes": ["cat", "cat"]}, r"config\['classes'\] has 'cat' twice; give each class a name of its own"),
    ],
)
def test_the_list_of_classes_fits_their_number(tiny_config, entries, said):
    with pytest.raises(ConfigError, match=said):
        validate(Run({**tiny_config, **entries}), STAGE_KINDS)


def test_the_list_of_classes_is_a_list(tiny_config):
    with pytest.raises(ConfigError, match=r"config\['classes'\] is 3; expected a list \(each a text\)"):
        Run({**tiny_config, "classes": 3})


def test_the_head_has_the_number_of_classes():
    run = Run({"task_name": "a", "num_classes": 2, "model": {"type": "SSD", "head": {"num_classes": 20}}})
    said = r"num_classes'\] is 2, and config\['model'\]\['head'\]\['num_classes'\] is 20; write num_classes=num_classes"
    assert any(re.search(said, str(problem)) for problem in find_problems(run, STAGE_KINDS))


def test_an_operator_without_integers_stops_the_stages_that_quantise_and_warns_the_one_before(tiny_config, caplog):
    tiny_config["model"]["type"] = "TinyWithSoftmax"
    run = Run(tiny_config)
    validate(run, STAGE_KINDS, stage=run.stage("float"))
    assert "Stage 'calibration' will refuse the network that is about to be trained: relu (" in caplog.text
    assert "tools/model_checker.py --config CONFIG says what of the network has no integer form." in caplog.text
    for stage in ("calibration", "qat", "int_infer"):
        with pytest.raises(CaptureError, match=r"^relu \(.*: Softmax has no integer form; take it out of the"):
            run_stage(run, stage)
    for stage in ("calibration", "qat"):
        del tiny_config[f"{stage}_trainer"]
    caplog.clear()
    run = Run(tiny_config)
    validate(run, STAGE_KINDS, stage=run.stage("float"))
    assert not caplog.messages


def test_deploy_inputs_of_another_size_are_told_before_the_float_stage(tiny_config):
    tiny_config["model"]["type"] = "TinyOfOneSize"
    tiny_config["deploy_inputs"] = {"img": torch.zeros(1, 3, 8, 9)}
    run = Run(tiny_config)
    with pytest.raises(ConfigError, match=r"config\['deploy_inputs'\]: img is 8×9; resize it to 8×8"):
        validate(run, STAGE_KINDS, stage=run.stage("float"))
