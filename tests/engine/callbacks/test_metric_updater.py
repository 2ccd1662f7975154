import logging
from types import SimpleNamespace

import pytest
import torch

from hatlite.engine.callbacks import Checkpoint, MetricUpdater, StatsMonitor
from hatlite.engine.callbacks.metric_updater import evaluation_updater
from hatlite.engine.loop import Loop
from hatlite.errors import ConfigError
from hatlite.metrics import LossShow
from hatlite.registry import OBJECT_REGISTRY


@pytest.fixture
def loop():
    return SimpleNamespace(
        epoch=0,
        step=0,
        step_in_epoch=0,
        batches=[{"img": torch.zeros(4, 3, 2, 2)}],
        losses={"cls": torch.tensor(0.5), "reg": torch.tensor(0.25)},
        train_metrics=LossShow(),
    )


def walk(callback, loop, steps):
    callback.on_epoch_begin(loop)
    for _ in range(steps):
        loop.step += 1
        loop.step_in_epoch += 1
        callback.on_step_end(loop)


def test_the_mean_of_an_epoch_is_logged_and_starts_anew(loop, caplog):
    updater = MetricUpdater(step_log_freq=2, log_prefix="loss_")
    with caplog.at_level(logging.INFO, logger="hatlite"):
        walk(updater, loop, 2)
        loop.epoch = 1
        updater.on_epoch_end(loop)
    assert [record.getMessage() for record in caplog.records] == [
        "step 2: loss_cls 0.5000, loss_reg 0.2500",
        "epoch 1: loss_cls 0.5000, loss_reg 0.2500",
    ]
    updater.on_epoch_begin(loop)
    assert loop.train_metrics.compute() == {}


def test_a_function_of_the_config_may_do_the_update(loop):
    updater = MetricUpdater(lambda metrics, batch, losses: metrics.update({"only": losses["cls"]}))
    walk(updater, loop, 1)
    assert loop.train_metrics.compute() == {"only": 0.5}


def test_without_metrics_nothing_happens(loop):
    loop.train_metrics = None
    updater = MetricUpdater(step_log_freq=1)
    walk(updater, loop, 1)
    updater.on_epoch_end(loop)


def test_a_function_may_go_through_several_metrics_as_configs_of_this_format_write_it(loop):
    def update_loss(metrics, batch, model_outs):
        for metric in metrics:
            metric.update(model_outs)

    loop.train_metrics = [LossShow(), LossShow()]
    walk(MetricUpdater(update_loss), loop, 2)
    assert [metric.compute() for metric in loop.train_metrics] == [{"cls": 0.5, "reg": 0.25}] * 2


def test_intervals_below_their_least_are_refused():
    with pytest.raises(ConfigError, match="MetricUpdater: step_log_freq is -1 and epoch_log_freq 0; expected 0"):
        MetricUpdater(step_log_freq=-1, epoch_log_freq=0)


def test_an_evaluation_takes_its_updater_and_nothing_with_steps():
    updater = MetricUpdater()
    assert evaluation_updater([StatsMonitor(), updater], "Predictor") is updater
    assert evaluation_updater([], "Predictor").metric_update_func is None
    with pytest.raises(ConfigError, match="Validation: Checkpoint is among its callbacks, and an evaluation has no st"):
        evaluation_updater([Checkpoint()], "Validation")
    with pytest.raises(ConfigError, match="Predictor: 2 MetricUpdaters would each update its metrics; leave one"):
        evaluation_updater([updater, MetricUpdater()], "Predictor")


def test_without_a_function_an_evaluation_keeps_its_metric():
    metric = LossShow()
    assert MetricUpdater().fed(metric) is metric
    assert MetricUpdater().fed([metric]) == [metric]


def test_a_loop_that_trains_nothing_has_nothing_to_feed(tiny_config):
    class Idle(Loop):
        def run_step(self):
            self.losses = {}

    model, loader = (OBJECT_REGISTRY.build(tiny_config[key]) for key in ("model", "val_data_loader"))
    idle = Idle(model, loader, callbacks=[MetricUpdater(step_log_freq=1)])
    idle.fit()
    assert idle.step == 2
