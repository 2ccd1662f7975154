import torch

from hatlite.engine import Run, run_stage
from hatlite.engine.derive import data_of


def test_trainers_and_predictors_may_leave_out_what_the_config_has(tiny_config):
    config = dict(tiny_config)
    config["qat_data_loader"] = {**config["data_loader"], "batch_size": 4}
    config["calibration_step"] = 2
    del config["calibration_trainer"]["num_steps"]
    for name in ("float", "qat"):
        config[f"{name}_trainer"] = {
            key: value for key, value in config[f"{name}_trainer"].items() if key not in ("model", "data_loader")
        }
    config["float_predictor"] = {"type": "Predictor"}
    resolved = Run(config).config
    assert resolved["float_trainer"]["model"] is resolved["model"]
    assert resolved["float_trainer"]["data_loader"] is resolved["data_loader"]
    assert resolved["qat_trainer"]["data_loader"] is resolved["qat_data_loader"]
    assert resolved["calibration_trainer"]["num_steps"] == 2
    assert resolved["float_predictor"]["data_loader"] is resolved["val_data_loader"]
    assert resolved["float_predictor"]["metrics"] == {"type": "MeanScore"}
    run_stage(Run({**config, "stage_checkpoint": "last"}), "float")
    assert "model" not in config["float_trainer"]


def test_what_is_given_stays(tiny_config):
    other = {"type": "TinyDetector", "poison": 99}
    tiny_config["float_trainer"]["model"] = other
    assert Run(tiny_config).config["float_trainer"]["model"] == other
    given = {"type": "TinyDetector"}
    assert Run({**tiny_config, "deploy_model": given}).config["deploy_model"] == given


def test_the_deployed_model_is_the_model_without_what_trains_it(tiny_config):
    losses = {"loss_cls": {"type": "FocalLoss"}, "targets": {"type": "DynamicFcosTarget"}, "pretrained": "x.pth"}
    kept = {"type": "FCOS", "backbone": {}, "neck": {}, "head": {}, "post_process": {}}
    assert Run({**tiny_config, "model": {**kept, **losses}}).config["deploy_model"] == kept
    assert "deploy_model" in Run(tiny_config).derived


def test_an_unknown_type_derives_nothing(tiny_config):
    tiny_config["float_trainer"] = {"type": "Tariner"}
    assert Run(tiny_config).config["float_trainer"] == {"type": "Tariner"}


def test_the_trainer_of_int_infer_needs_no_data_and_no_optimizer(tiny_config):
    tiny_config["stage_checkpoint"] = "last"
    tiny_config["deploy_model"] = {"type": "TinyDetector"}
    tiny_config["deploy_inputs"] = {"img": torch.zeros(1, 3, 8, 8)}
    steps = [{"type": "Float2QAT"}, {"type": "LoadCheckpoint"}, {"type": "QAT2Quantize"}]
    pipeline = {"type": "ModelConvertPipeline", "qat_mode": "fuse_bn", "converters": steps}
    tiny_config["deploy_model_convert_pipeline"] = pipeline
    tiny_config["int_infer_trainer"] = {
        "type": "Trainer",
        "model": tiny_config["deploy_model"],
        "model_convert_pipeline": pipeline,
        "data_loader": None,
        "optimizer": None,
        "batch_processor": None,
        "num_epochs": 0,
        "device": None,
        "callbacks": [],
    }
    for name in ("float", "calibration", "int_infer"):
        row = run_stage(Run(tiny_config), name)
    assert row["passed"] is True


def test_the_data_set_inside_its_wrappers():
    inner = {"type": "Coco"}
    assert data_of({"dataset": {"dataset": inner}}) is inner
    assert data_of(None) is None
