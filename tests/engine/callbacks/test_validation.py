import logging
from types import SimpleNamespace

import pytest
import torch

from hatlite.engine.callbacks import Validation
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY


@pytest.fixture
def loop(tiny_config):
    torch.manual_seed(0)
    model = OBJECT_REGISTRY.build(tiny_config["model"])
    metrics = OBJECT_REGISTRY.build({"type": "MeanScore"})
    return SimpleNamespace(
        model=model,
        evaluation_model=model,
        val_metrics=metrics,
        metrics={},
        epoch=1,
        num_epochs=5,
        finished=False,
        device=torch.device("cpu"),
        channels_last=True,
    )


@pytest.fixture
def data_loader(tiny_config):
    return OBJECT_REGISTRY.build(tiny_config["val_data_loader"])


def epochs_validated(callback, loop):
    seen = []
    for epoch in range(1, loop.num_epochs + 1):
        loop.epoch, loop.finished = epoch, epoch == loop.num_epochs
        callback.on_epoch_end(loop)
        seen += [loop.epoch] if loop.metrics else []
    return seen


def test_the_interval_and_the_last_epoch(loop, data_loader):
    assert epochs_validated(Validation(data_loader, val_interval=2), loop) == [2, 4, 5]
    assert epochs_validated(Validation(data_loader, val_interval=2, val_on_train_end=False), loop) == [2, 4]


def test_it_measures_the_evaluation_model_and_losses(loop, data_loader):
    loop.evaluation_model = OBJECT_REGISTRY.build({"type": "TinyDetector"})
    Validation(data_loader).on_epoch_end(loop)
    first = loop.metrics
    assert set(first) == {
        "mAP",
        "AP50",
        "AP75",
        "val_loss",
        "val_loss_cls",
        "val_loss_reg",
        "images",
        "images_per_second",
    }
    assert first["val_loss"] == pytest.approx(first["val_loss_cls"] + first["val_loss_reg"])
    assert first["images"] == 4
    loop.evaluation_model = loop.model
    Validation(data_loader).on_epoch_end(loop)
    assert loop.metrics["mAP"] != first["mAP"]


def test_its_own_metric_comes_first(loop, data_loader):
    own = OBJECT_REGISTRY.build({"type": "MeanScore"})
    Validation(data_loader, val_metrics=own).on_epoch_end(loop)
    assert len(own.scores) == 4
    assert not loop.val_metrics.scores


def test_nothing_to_measure_with_is_refused(loop, data_loader):
    loop.val_metrics = None
    with pytest.raises(ConfigError, match="Validation has nothing to measure with; give the trainer or Validation"):
        Validation(data_loader).on_epoch_end(loop)


def test_an_interval_below_one_is_refused(data_loader):
    with pytest.raises(ConfigError, match="Validation: val_interval is 0; expected at least 1 epoch"):
        Validation(data_loader, val_interval=0)


def test_a_function_of_the_config_updates_the_metric(loop, data_loader, caplog):
    def update_metric(metrics, batch, model_outs):
        for metric in metrics:
            metric.update(model_outs)

    keys = {"type": "MetricUpdater", "metric_update_func": update_metric, "epoch_log_freq": 2, "log_prefix": "val"}
    callback = Validation(data_loader, callbacks=[OBJECT_REGISTRY.build(keys)])
    with caplog.at_level(logging.INFO, logger="hatlite"):
        assert epochs_validated(callback, loop) == [1, 2, 3, 4, 5]
    assert len(loop.val_metrics.scores) == 4
    said = [record.getMessage() for record in caplog.records]
    assert [line.partition(" mAP")[0] for line in said] == ["epoch 2: val", "epoch 4: val", "epoch 5: val"]


def test_several_metrics(loop, data_loader):
    loop.val_metrics = [loop.val_metrics, OBJECT_REGISTRY.build({"type": "MeanScore"})]
    Validation(data_loader).on_epoch_end(loop)
    assert [len(metric.scores) for metric in loop.val_metrics] == [4, 4]


def test_there_is_one_model_to_validate(loop, data_loader):
    Validation(data_loader, val_model=loop.model, init_with_train_model=True).on_loop_begin(loop)
    Validation(data_loader).on_loop_begin(loop)
    with pytest.raises(ConfigError, match="Validation: val_model is another model than the trainer's; hatlite"):
        Validation(data_loader, val_model=torch.nn.Identity()).on_loop_begin(loop)
