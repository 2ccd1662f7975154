import pytest

from hatlite.engine import Predictor, Run, predict_stage, run_stage
from hatlite.errors import ConfigError


def test_loader_and_metrics_may_be_lists_of_one(tiny_config):
    tiny_config["stage_checkpoint"] = "last"
    run_stage(Run(tiny_config), "float")
    expected = predict_stage(Run(tiny_config), "float")["mAP"]
    tiny_config["float_predictor"] = {
        "type": "Predictor",
        "model": tiny_config["model"],
        "data_loader": [tiny_config["val_data_loader"]],
        "metrics": [{"type": "MeanScore"}],
        "batch_processor": None,
        "callbacks": [],
        "log_interval": 50,
    }
    assert predict_stage(Run(tiny_config), "float")["mAP"] == expected


@pytest.mark.parametrize("many", [[], [1, 2]])
def test_more_or_none_are_refused(many):
    with pytest.raises(ConfigError, match=f"Predictor: data_loader is a list of {len(many)}; a detector has one"):
        Predictor(None, many, metrics=1)
    with pytest.raises(ConfigError, match=f"Predictor: metrics is a list of {len(many)}"):
        Predictor(None, None, metrics=many)
