from types import SimpleNamespace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hatlite.engine.callbacks import TensorBoard
from hatlite.engine.loop import RunInfo
from hatlite.errors import ConfigError


def test_losses_rate_and_metrics_are_written(tmp_path):
    callback = TensorBoard(step_log_interval=2)
    place = {"step": 0, "step_in_epoch": 0, "epoch_length": 9}
    loop = SimpleNamespace(run=RunInfo("qat", "t", tmp_path), lr=0.5, losses={"cls": torch.tensor(2.0)}, **place)
    for loop.step in range(1, 5):
        callback.on_step_end(loop)
    loop.metrics = {"mAP": 0.25}
    callback.on_epoch_end(loop)
    callback.on_loop_end(loop)
    events = EventAccumulator(str(tmp_path / "tensorboard" / "qat")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss/cls")] == [(2, 2.0), (4, 2.0)]
    assert [event.value for event in events.Scalars("lr")] == [0.5, 0.5]
    assert [(event.step, event.value) for event in events.Scalars("val/mAP")] == [(4, 0.25)]


def test_nothing_written_leaves_no_folder(tmp_path):
    TensorBoard(str(tmp_path / "logs")).on_loop_end(None)
    assert not (tmp_path / "logs").exists()


def test_points_need_steps_between_them():
    with pytest.raises(ConfigError, match="TensorBoard: step_log_interval is 0; expected at least 1 step between"):
        TensorBoard(step_log_interval=0)
