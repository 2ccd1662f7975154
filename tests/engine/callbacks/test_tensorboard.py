import logging
from types import SimpleNamespace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hatlite.engine import Run, run_stage
from hatlite.engine.callbacks import TensorBoard
from hatlite.engine.checkpoint import load_checkpoint
from hatlite.engine.loop import RunInfo
from hatlite.errors import ConfigError


def read(folder):
    return EventAccumulator(str(folder), size_guidance={"histograms": 0}).Reload()


def test_losses_rate_and_metrics_are_written(tmp_path):
    callback = TensorBoard(step_log_interval=2)
    place = {"step": 0, "step_in_epoch": 0, "epoch_length": 9}
    loop = SimpleNamespace(run=RunInfo("qat", "t", tmp_path), lr=0.5, losses={"cls": torch.tensor(2.0)}, **place)
    frozen = torch.nn.Parameter(torch.tensor([5.0]), requires_grad=False)
    groups = [
        {"params": [torch.nn.Parameter(torch.tensor([3.0, 4.0])), frozen], "weight_decay": 0.1},
        {"params": [torch.nn.Parameter(torch.tensor([7.0]))], "weight_decay": 0.0},
    ]
    loop.optimizer = torch.optim.SGD(groups, lr=0.5)
    for loop.step in range(1, 5):
        loop.losses = {"cls": torch.tensor(2.0), "reg": torch.tensor(float(loop.step))}
        callback.on_step_end(loop)
    loop.metrics = {"mAP": 0.25, "val_loss": 1.5}
    callback.on_epoch_end(loop)
    callback.on_loop_end(loop)
    events = read(tmp_path / "tensorboard" / "qat")
    assert [(event.step, event.value) for event in events.Scalars("loss/cls")] == [(2, 2.0), (4, 2.0)]
    assert [event.value for event in events.Scalars("lr")] == [0.5, 0.5]
    assert [(event.step, event.value) for event in events.Scalars("val/mAP")] == [(4, 0.25)]
    epoch = {"train_loss": 2.0 + 2.5, "val_loss": 1.5, "decay_loss": 0.05 * 25, "decay_ratio": 0.05 * 25 / 4.5}
    for name, value in epoch.items():
        assert [(e.step, e.value) for e in events.Scalars(f"epoch/{name}")] == [(4, pytest.approx(value))], name


def test_what_was_not_measured_has_no_curve(tmp_path):
    callback = TensorBoard()
    loop = SimpleNamespace(run=RunInfo("float", "t", tmp_path), lr=0.5, losses={}, step=3, metrics={"mAP": 0.5})
    callback.on_epoch_end(loop)  # of a calibration
    loop.losses, loop.metrics = {"cls": torch.tensor(1.0)}, {}
    loop.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5)
    callback.train_loss.update(loop.losses)
    callback.on_epoch_end(loop)
    callback.on_loop_end(loop)
    assert read(tmp_path / "tensorboard" / "float").Tags()["scalars"] == ["val/mAP", "epoch/train_loss"]


def with_tensorboard(config, folder, **options):
    """Run float, calibration and qat, and return the weights of the last."""
    config = {**config, "ckpt_dir": str(folder)}
    for stage in ("float", "calibration", "qat"):
        trainer = dict(config[f"{stage}_trainer"])
        trainer["callbacks"] = [*trainer["callbacks"], {"type": "TensorBoard", **options}]
        config[f"{stage}_trainer"] = trainer
    run = Run(config)
    for stage in ("float", "calibration", "qat"):
        run_stage(run, stage)
    return load_checkpoint(run.checkpoint("qat", "last"))["state_dict"]


def test_histograms_and_graphs_of_all_stages_lie_under_one_folder_and_change_nothing(tiny_config, tmp_path):
    plain = with_tensorboard(tiny_config, tmp_path / "plain")
    watched = with_tensorboard(tiny_config, tmp_path / "watched", histograms=True, graph=True)
    assert plain.keys() == watched.keys() and all(torch.equal(plain[name], watched[name]) for name in plain)
    convolutions = {"activations/conv", "activations/head"}
    for stage, epochs in (("float", 2), ("qat", 1)):
        events = read(tmp_path / "watched" / "tensorboard" / stage)
        names = {"conv.weight", "bn.weight", "bn.bias", "head.weight", "head.bias"}
        expected = {f"{kind}/{name}" for kind in ("weights", "gradients") for name in names} | convolutions
        assert set(events.Tags()["histograms"]) == expected
        weight = events.Histograms("weights/conv.weight")
        assert [event.step for event in weight] == [4 * (epoch + 1) for epoch in range(epochs)]
        assert weight[-1].histogram_value.num == 4 * 3 * 9
        assert {"conv", "head", "cls_logits_s1"} < {node.name for node in events.Graph().node}
    integers = read(tmp_path / "watched" / "tensorboard" / "qat").Histograms("activations/conv")[0].histogram_value
    assert integers.num == 2 * 4 * 64 and 1 < integers.max <= 255 and integers.min >= 0
    assert not read(tmp_path / "watched" / "tensorboard" / "calibration").Tags()["histograms"]
    assert not read(tmp_path / "plain" / "tensorboard" / "float").Tags()["histograms"]


def test_without_validation_there_are_no_activations(tiny_config, tmp_path):
    trainer = tiny_config["float_trainer"]
    trainer["callbacks"] = [{"type": "Checkpoint"}, {"type": "TensorBoard", "histograms": True}]
    tiny_config["stage_checkpoint"] = "last"
    run_stage(Run(tiny_config), "float")
    tags = read(Run(tiny_config).folder / "tensorboard" / "float").Tags()["histograms"]
    assert {tag.split("/")[0] for tag in tags} == {"weights", "gradients"}


def test_a_network_that_cannot_be_captured_trains_without_a_graph(tiny_config, caplog):
    callback = TensorBoard(graph=True)
    network = torch.nn.Conv2d(3, 1, 1)  # returns no dict
    image = {"img": torch.zeros(1, 3, 8, 8)}
    place = {"step": 1, "batch": image, "model": SimpleNamespace(network=network)}
    loop = SimpleNamespace(run=RunInfo("float", "t", Run(tiny_config).folder), **place)
    with caplog.at_level(logging.WARNING, logger="hatlite"):
        callback.write(loop, {"lr": 1.0})
    callback.on_loop_end(loop)
    assert "TensorBoard has no graph of the network: " in caplog.text
    assert read(loop.run.folder / "tensorboard" / "float").Tags()["scalars"] == ["lr"]


def test_nothing_written_leaves_no_folder(tmp_path):
    TensorBoard(str(tmp_path / "logs")).on_loop_end(None)
    assert not (tmp_path / "logs").exists()


def test_points_need_steps_between_them():
    with pytest.raises(ConfigError, match="TensorBoard: step_log_interval is 0; expected at least 1 step between"):
        TensorBoard(step_log_interval=0)
