import json
from types import SimpleNamespace

import pytest
import torch

from hatlite.engine import Run, run_stage
from hatlite.engine.callbacks import ScalarLog
from hatlite.engine.loop import RunInfo
from hatlite.errors import ConfigError, OutputError


def loop_in(folder, **more):
    state = {"step": 0, "epoch": 0, "step_in_epoch": 0, "lr": 0.5, "metrics": {}}
    state |= {"steps_per_epoch": 4, "epoch_length": 4}
    losses = {"cls": torch.tensor(2.0)}
    return SimpleNamespace(**{"run": RunInfo("qat", "t", folder), "losses": losses, **state, **more})


def lines(folder, stage="qat"):
    return [json.loads(line) for line in (folder / f"{stage}-scalars.jsonl").read_text().splitlines()]


def go(log, loop, steps):
    """Go on to the end of the epoch of `steps`."""
    log.on_epoch_begin(loop)
    for _ in range(steps):
        loop.step, loop.step_in_epoch = loop.step + 1, loop.step_in_epoch + 1
        log.on_step_end(loop)


def test_each_point_is_a_line_with_its_place(tmp_path):
    log, loop = ScalarLog(step_log_interval=2), loop_in(tmp_path)
    go(log, loop, 4)
    loop.epoch, loop.step_in_epoch, loop.metrics = 1, 0, {"mAP": 0.25, "AP50": float("nan")}
    log.on_epoch_end(loop)
    assert lines(tmp_path) == [
        {"step": 2, "epoch": 0.5, "lr": 0.5, "loss/cls": 2.0},
        {"step": 4, "epoch": 1.0, "lr": 0.5, "loss/cls": 2.0},
        {"step": 4, "epoch": 1.0, "val/mAP": 0.25, "val/AP50": None},
    ]


def test_an_epoch_of_few_steps_leaves_its_last_losses(tmp_path):
    log, loop = ScalarLog(), loop_in(tmp_path, epoch_length=3)
    for loop.epoch in range(2):
        loop.step_in_epoch = 0
        go(log, loop, 3)
    assert [(row["step"], row["loss/cls"]) for row in lines(tmp_path)] == [(3, 2.0), (6, 2.0)]


def test_what_is_not_there_is_not_written(tmp_path):
    log, loop = ScalarLog(1), loop_in(tmp_path, losses={})
    go(log, loop, 2)  # a calibration has no losses
    log.on_epoch_end(loop)  # and this epoch no validation
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_run_repeats_no_step_and_drops_what_a_crash_broke(tmp_path):
    go(ScalarLog(1), loop_in(tmp_path), 4)
    with (tmp_path / "qat-scalars.jsonl").open("a") as file:
        file.write('{"step": 1, "epo')
    go(ScalarLog(1), loop_in(tmp_path, step=2, step_in_epoch=2), 1)
    assert [row["step"] for row in lines(tmp_path)] == [1, 2, 3]


def test_a_new_run_begins_anew(tmp_path):
    for _ in range(2):
        go(ScalarLog(1), loop_in(tmp_path), 2)
    assert [row["step"] for row in lines(tmp_path)] == [1, 2]


def test_a_folder_that_takes_no_file_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/qat-scalars\.jsonl cannot be written"):
        go(ScalarLog(1), loop_in(tmp_path / "file"), 1)


def test_points_need_steps_between_them():
    with pytest.raises(ConfigError, match="ScalarLog: step_log_interval is 0; expected at least 1 step between two"):
        ScalarLog(step_log_interval=0)


def test_interrupted_and_resumed_leaves_the_lines_of_an_uninterrupted_run(tiny_config, tmp_path):
    def train(folder, *extra, resume=False):
        callbacks = [*extra, *tiny_config["float_trainer"]["callbacks"], {"type": "ScalarLog", "step_log_interval": 1}]
        trainer = {**tiny_config["float_trainer"], "callbacks": callbacks}
        run_stage(Run({**tiny_config, "float_trainer": trainer, "ckpt_dir": str(folder)}), "float", resume=resume)
        return [
            {key: value for key, value in row.items() if key != "val/images_per_second"}
            for row in lines(folder, "float")
        ]

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", {"type": "InterruptAt", "step": 5})
    assert train(tmp_path / "parts", resume=True) == train(tmp_path / "whole")


def test_every_stage_leaves_its_lines_and_a_trainer_may_list_its_own(tiny_config):
    run = Run(tiny_config)
    run_stage(run, "float")
    assert [(row["step"], "lr" in row, "val/mAP" in row) for row in lines(run.folder, "float")] == [
        *((4, True, False), (4, False, True)),
        *((8, True, False), (8, False, True)),
    ]
    own = {"type": "ScalarLog", "step_log_interval": 1}
    trainer = {**tiny_config["float_trainer"], "callbacks": [*tiny_config["float_trainer"]["callbacks"], own]}
    run_stage(Run({**tiny_config, "float_trainer": trainer}), "float")
    assert [row["step"] for row in lines(run.folder, "float")] == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]
