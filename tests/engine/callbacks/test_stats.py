import logging
from types import SimpleNamespace

import pytest
import torch

from hatlite.engine.callbacks import StatsMonitor
from hatlite.engine.callbacks import stats as stats_module
from hatlite.engine.loop import RunInfo
from hatlite.errors import ConfigError
from hatlite.metrics import LossShow


@pytest.fixture
def loop():
    return SimpleNamespace(
        run=RunInfo("float"),
        epoch=0,
        num_epochs=3,
        step=0,
        step_in_epoch=0,
        steps_per_epoch=10,
        epoch_length=10,
        total_steps=30,
        batches=[{"img": torch.zeros(4, 3, 2, 2)}],
        losses={"cls": torch.tensor(0.5), "reg": torch.tensor(0.25)},
        train_metrics=LossShow(),
        lr=0.01,
    )


def walk(callback, loop, steps):
    callback.on_epoch_begin(loop)
    for _ in range(steps):
        loop.step += 1
        loop.step_in_epoch += 1
        callback.on_step_end(loop)


def test_a_line_has_loss_speed_time_left_and_rate(loop, caplog, monkeypatch):
    clock = iter([100.0, 102.0, 102.0])  # two seconds for two steps of four images
    monkeypatch.setattr(stats_module.time, "perf_counter", lambda: next(clock))
    monitor = StatsMonitor(log_freq=2)
    with caplog.at_level(logging.INFO, logger="hatlite"):
        walk(monitor, loop, 3)
    monitor.on_loop_end(loop)
    line = "float epoch 1/3 step 2/10: loss 0.7500, images/s 4.0, left 0:00:28, lr 0.01"
    assert [record.getMessage() for record in caplog.records] == [line]
    assert monitor.bar.disable or monitor.bar.n == 3


def test_every_loss_is_shown_where_it_is_asked_for(loop, caplog):
    with caplog.at_level(logging.INFO, logger="hatlite"):
        walk(StatsMonitor(log_freq=1, parts=True), loop, 1)
    assert ": loss 0.7500, cls 0.5000, reg 0.2500, images/s " in caplog.text


def test_images_of_all_processes_count(loop, caplog, monkeypatch):
    clock = iter([100.0, 101.0, 101.0])
    monkeypatch.setattr(stats_module.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(stats_module, "process", lambda: (0, 3))
    with caplog.at_level(logging.INFO, logger="hatlite"):
        walk(StatsMonitor(log_freq=1), loop, 1)
    assert "images/s 12.0," in caplog.text


def test_without_training_there_is_neither_loss_nor_rate(loop, caplog, monkeypatch):
    clock = iter([100.0, 101.0, 101.0])
    monkeypatch.setattr(stats_module.time, "perf_counter", lambda: next(clock))
    loop.losses, loop.lr, loop.run = {}, 0.0, RunInfo("calibration")
    with caplog.at_level(logging.INFO, logger="hatlite"):
        walk(StatsMonitor(log_freq=1), loop, 1)
    assert caplog.messages == ["calibration epoch 1/3 step 1/10: images/s 4.0, left 0:00:29"]


def test_an_epoch_that_ends_closes_its_bar(loop):
    monitor = StatsMonitor()
    monitor.on_loop_end(loop)  # nothing to close yet
    walk(monitor, loop, 1)
    monitor.on_epoch_end(loop)


def test_lines_need_steps_between_them():
    with pytest.raises(ConfigError, match="StatsMonitor: log_freq is 0; expected at least 1 step between two lines."):
        StatsMonitor(log_freq=0)
