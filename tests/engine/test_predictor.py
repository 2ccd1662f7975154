import pytest

from hatlite.engine import Predictor, Run, predict_stage, run_stage
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY


@pytest.fixture
def parts(tiny_config):
    return [OBJECT_REGISTRY.build(tiny_config[key]) for key in ("model", "val_data_loader")]


def test_a_function_of_the_config_updates_the_metrics(parts):
    calls = []

    def update_metric(metrics, batch, model_outs):
        calls.append(batch["img_name"])
        for metric in metrics:
            metric.update(model_outs)

    updater = OBJECT_REGISTRY.build({"type": "MetricUpdater", "metric_update_func": update_metric})
    metrics = [OBJECT_REGISTRY.build({"type": "MeanScore"})]
    values = Predictor(*parts, metrics=metrics, callbacks=[updater]).predict()
    assert calls == [["0.jpg", "1.jpg"], ["2.jpg", "3.jpg"]]
    assert values["mAP"] == Predictor(*parts, metrics=metrics).predict()["mAP"]
    assert len(metrics[0].scores) == 4


def test_a_callback_with_steps_has_nothing_to_do(parts):
    metrics, checkpoint = (OBJECT_REGISTRY.build({"type": name}) for name in ("MeanScore", "Checkpoint"))
    with pytest.raises(
        ConfigError, match="Predictor: Checkpoint is among its callbacks, and an evaluation has no steps"
    ):
        Predictor(*parts, metrics=metrics, callbacks=[checkpoint])


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


def test_an_empty_list_measures_nothing():
    with pytest.raises(ConfigError, match="Predictor has nothing to measure with; give it metrics"):
        Predictor(None, None, metrics=[])


def test_the_log_interval_counts_batches(tiny_config, caplog):
    run_stage(Run(tiny_config), "float")
    for interval, lines in ((None, 0), (0, 0), (1, 2), (2, 1), (50, 0)):
        caplog.clear()
        predictor = {"type": "Predictor", "log_interval": interval}
        with caplog.at_level("INFO", "hatlite"):
            predict_stage(Run({**tiny_config, "float_predictor": predictor}), "float")
        assert caplog.text.count("evaluate: batch ") == lines
    with pytest.raises(ConfigError, match="Predictor: log_interval is -1; expected 0 or more batches"):
        Predictor(None, None, metrics=[3], log_interval=-1)


@pytest.mark.parametrize("stage", ["float", "calibration"])
@pytest.mark.parametrize("key", ["log_interval", "profiler"])
def test_what_trains_and_calibrates_gives_one_answer(tiny_config, stage, key):
    tiny_config[f"{stage}_trainer"][key] = 1
    with pytest.raises(ConfigError, match=rf"has no key '{key}': StatsMonitor "):
        run_stage(Run(tiny_config), "float")
