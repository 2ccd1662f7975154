import json
import logging
import signal

import pytest
import torch

from hatlite.engine import Run, run_stage
from hatlite.engine.checkpoint import load_checkpoint, save_checkpoint
from hatlite.errors import CheckpointError, StageError


def train(config, folder, *, resume=False, extra=(), **changes):
    trainer = {**config["float_trainer"], **changes}
    trainer["callbacks"] = [*extra, *trainer["callbacks"]] if extra else trainer["callbacks"]
    run = Run({**config, "float_trainer": trainer, "ckpt_dir": str(folder)})
    run_stage(run, "float", resume=resume)
    return load_checkpoint(run.checkpoint("float", "last"))


def assert_same(a, b, place="checkpoint"):
    """Compare nested values to the bit; paths in the config text are those of another folder."""
    assert type(a) is type(b), place
    if isinstance(a, dict):
        assert a.keys() == b.keys(), place
        for key in a.keys() - {"config", "metrics", "seconds"}:
            assert_same(a[key], b[key], f"{place}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), place
        for index, pair in enumerate(zip(a, b, strict=True)):
            assert_same(*pair, f"{place}[{index}]")
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        assert torch.equal(a, b), place
    else:
        assert a == b, place


def test_two_epochs_and_two_more_equal_four_to_the_bit(tiny_config, tmp_path):
    callbacks = [dict(c) for c in tiny_config["float_trainer"]["callbacks"]]
    callbacks[1] = {"type": "StepDecayLrUpdater", "lr_decay_id": [1, 3], "lr_decay_factor": 0.5}
    tiny_config["float_trainer"]["callbacks"] = callbacks
    whole = train(tiny_config, tmp_path / "whole", num_epochs=4)
    train(tiny_config, tmp_path / "parts", num_epochs=2)
    parts = train(tiny_config, tmp_path / "parts", num_epochs=4, resume=True)
    assert whole["epoch"] == parts["epoch"] == 4
    assert whole["optimizer"]["state"][0]["momentum_buffer"].abs().sum() > 0
    assert_same(whole, parts)
    names = ("mAP", "val_loss", "images")
    assert [whole["metrics"][name] for name in names] == [parts["metrics"][name] for name in names]


@pytest.mark.parametrize("step", [1, 3, 4])
def test_interrupted_and_resumed_equals_uninterrupted_to_the_bit(tiny_config, tmp_path, step, capsys):
    whole = train(tiny_config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config, tmp_path / "parts", extra=[{"type": "InterruptAt", "step": step}])
    assert "python tools/train.py --stage float --config CONFIG --resume" in capsys.readouterr().out
    halfway = load_checkpoint(tmp_path / "parts" / "float-checkpoint-last.pth.tar")
    assert halfway["step"] == step + 1
    # a callback that never fires keeps the places in the list, by which callbacks find their state
    parts = train(tiny_config, tmp_path / "parts", extra=[{"type": "InterruptAt", "step": 99}], resume=True)
    whole["callbacks"] = parts["callbacks"]
    assert_same(whole, parts)


@pytest.mark.parametrize("step", [1, 3, 4, 5])
def test_a_length_in_steps_resumes_to_the_bit(tiny_config, tmp_path, step):
    length = {"stop_by": "step", "num_steps": 6}  # one and a half epochs
    whole = train(tiny_config, tmp_path / "whole", **length)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config, tmp_path / "parts", extra=[{"type": "InterruptAt", "step": step}], **length)
    parts = train(tiny_config, tmp_path / "parts", extra=[{"type": "InterruptAt", "step": 99}], resume=True, **length)
    assert (whole["step"], whole["epoch"], bool(whole["metrics"])) == (6, 2, True)
    whole["callbacks"] = parts["callbacks"]
    assert_same(whole, parts)


PROCESSORS = [
    {"grad_accumulation_step": 3},
    {"enable_amp": True},
    {"enable_amp": True, "amp_dtype": "float16"},
]


@pytest.mark.parametrize("options", PROCESSORS)
def test_accumulation_and_mixed_precision_resume_to_the_bit(tiny_config, tmp_path, options):
    processor = {"type": "MultiBatchProcessor", **options}
    whole = train(tiny_config, tmp_path / "whole", batch_processor=processor)
    at = whole["step"] // 2  # inside the second epoch, or between two
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config, tmp_path / "parts", extra=[{"type": "InterruptAt", "step": at}], batch_processor=processor)
    never = [{"type": "InterruptAt", "step": 99}]
    parts = train(tiny_config, tmp_path / "parts", extra=never, resume=True, batch_processor=processor)
    whole["callbacks"] = parts["callbacks"]
    assert ("scale" in whole["batch_processor"]) == ("amp_dtype" in options)
    assert_same(whole, parts)
    plain = train(tiny_config, tmp_path / "plain")
    assert not torch.equal(plain["state_dict"]["network.conv.weight"], whole["state_dict"]["network.conv.weight"])


def test_float16_leaves_qat_as_it_is(tiny_config, tmp_path):
    run = Run(tiny_config)
    for name in ("float", "calibration", "qat"):
        run_stage(run, name)
    exact = load_checkpoint(run.checkpoint("qat", "last"))
    whole = {"type": torch.amp.GradScaler, "device": "cpu", "enabled": False}
    halved = {"enable_amp": True, "amp_dtype": "float16", "grad_scaler": whole}
    tiny_config["qat_trainer"]["batch_processor"] = {"type": "MultiBatchProcessor", **halved}
    run = Run(tiny_config)
    run_stage(run, "qat")
    assert_same(load_checkpoint(run.checkpoint("qat", "last")), exact)  # its losses have no product to be halved


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tiny_config, tmp_path):
    first, second = (train(tiny_config, tmp_path / name)["state_dict"] for name in "ab")
    assert_same(first, second)
    other = train({**tiny_config, "seed": 8}, tmp_path / "c")["state_dict"]
    assert not torch.equal(first["network.conv.weight"], other["network.conv.weight"])


def test_an_interruption_keeps_best(tiny_config, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config, tmp_path, extra=[{"type": "InterruptAt", "step": 6}])
    assert load_checkpoint(tmp_path / "float-checkpoint-best.pth.tar")["epoch"] == 1
    last = load_checkpoint(tmp_path / "float-checkpoint-last.pth.tar")
    assert (last["epoch"], last["step_in_epoch"]) == (1, 3)
    assert last["metrics"] == {}  # those of epoch 1 were measured on other weights


@pytest.mark.parametrize("shorter", [{"num_epochs": 2}, {"num_epochs": 1}, {"stop_by": "step", "num_steps": 4}])
def test_resuming_what_is_finished_says_so_and_keeps_its_seconds(tiny_config, tmp_path, caplog, shorter):
    before = train(tiny_config, tmp_path)
    save_checkpoint({**before, "seconds": 1000.0}, tmp_path / "float-checkpoint-last.pth.tar")
    with caplog.at_level(logging.INFO, logger="hatlite"):
        after = train(tiny_config, tmp_path, resume=True, **shorter)
    done = f"8 steps of {shorter['num_steps']}" if "num_steps" in shorter else f"2 epochs of {shorter['num_epochs']}"
    assert f"Stage 'float': nothing was left to do, {done} are finished." in caplog.messages
    assert_same(before, after)
    row = json.loads((tmp_path / "stages.json").read_text())["stages"]["float"]
    assert row["seconds"] > 1000


def test_seconds_of_all_runs_add_up(tiny_config, tmp_path):
    before = train(tiny_config, tmp_path, num_epochs=1)
    assert before["seconds"] > 0
    save_checkpoint({**before, "seconds": 1000.0}, tmp_path / "float-checkpoint-last.pth.tar")
    assert train(tiny_config, tmp_path, resume=True)["seconds"] > 1000


def test_the_handler_of_ctrl_c_is_put_back(tiny_config, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    train(tiny_config, tmp_path)
    assert signal.getsignal(signal.SIGINT) is before


def test_resuming_without_a_checkpoint_says_what_to_run(tiny_config, tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint .*float-checkpoint-last.*\n.*without --resume: python"):
        train(tiny_config, tmp_path, resume=True)


def test_another_task_cannot_be_resumed(tiny_config, tmp_path):
    train(tiny_config, tmp_path)
    with pytest.raises(CheckpointError, match=r"task 'tiny', stage 'float'\) cannot be resumed by task 'other'"):
        train({**tiny_config, "task_name": "other"}, tmp_path, resume=True)


def test_what_resuming_would_not_honour_is_refused(tiny_config, tmp_path):
    train(tiny_config, tmp_path, num_epochs=1)
    optimizer = tiny_config["float_trainer"]["optimizer"]
    said = r"\['float_trainer'\]\['optimizer'\]\['lr'\] is 1e-06 and was \S+ in \S+last\.pth\.tar, whose optimizer"
    with pytest.raises(CheckpointError, match=said):
        train(tiny_config, tmp_path, num_epochs=2, optimizer={**optimizer, "lr": 1e-6}, resume=True)
    loader = {**tiny_config["data_loader"], "batch_size": 1}
    with pytest.raises(CheckpointError, match=r"written at \d steps an epoch, and \d+ would go on; give the loader"):
        train(tiny_config, tmp_path, num_epochs=2, data_loader=loader, resume=True)


def test_other_parameter_groups_cannot_be_resumed(tiny_config, tmp_path):
    state = train(tiny_config, tmp_path)
    del state["optimizer"]["param_groups"][0]
    save_checkpoint(state, tmp_path / "float-checkpoint-last.pth.tar")
    with pytest.raises(CheckpointError, match=r"optimizer of the checkpoint does not fit .* parameter groups"):
        train(tiny_config, tmp_path, resume=True, num_epochs=3)


@pytest.mark.parametrize("stage", ["calibration", "int_infer"])
def test_short_stages_do_not_resume(tiny_config, stage):
    run = Run(tiny_config)
    for name in ("float", "calibration"):
        run_stage(run, name)
    with pytest.raises(StageError, match=f"{stage}' is short and always starts anew; run it without --resume"):
        run_stage(run, stage, resume=True)


@pytest.mark.parametrize("before", [("float",), ("float", "calibration")])
def test_a_resumed_qat_needs_its_own_checkpoint_alone(tiny_config, before, caplog):
    interruption = {"type": "InterruptAt", "step": 2}
    tiny_config["qat_trainer"]["callbacks"] = [interruption, *tiny_config["qat_trainer"]["callbacks"]]
    run = Run(tiny_config)
    for name in before:
        run_stage(run, name)
    interruption["step"] = 99
    run_stage(Run(tiny_config), "qat")
    whole = load_checkpoint(run.checkpoint("qat", "last"))
    with pytest.raises(KeyboardInterrupt):
        run_stage(run, "qat")
    for name in before:
        for which in ("best", "last"):
            run.checkpoint(name, which).unlink()
    with caplog.at_level(logging.INFO, logger="hatlite"):
        run_stage(Run(tiny_config), "qat", resume=True)
    assert not [one for one in caplog.messages if "its scales come from" in one or "was written after" in one]
    assert_same(whole, load_checkpoint(run.checkpoint("qat", "last")))


def test_a_resumed_stage_keeps_the_form_of_its_own_pipeline_and_reads_no_file_of_it(tiny_config, tmp_path):
    run = Run(tiny_config)
    run_stage(run, "float")
    start = tmp_path / "start.pth.tar"
    run.checkpoint("float").rename(start)
    steps = [{"type": "LoadCheckpoint", "checkpoint_path": str(start)}, {"type": "Float2QAT"}]
    tiny_config["qat_trainer"]["model_convert_pipeline"] = {"type": "ModelConvertPipeline", "converters": steps}
    run_stage(Run(tiny_config), "qat")
    start.unlink()
    tiny_config["qat_trainer"]["num_epochs"] = 2
    run_stage(Run(tiny_config), "qat", resume=True)
    assert load_checkpoint(run.checkpoint("qat", "last"))["epoch"] == 2


QCONFIGS = {
    "plain": {"type": "QConfig"},
    "ranges that follow their batches": {"type": "QConfig", "ranges": "train", "range_freeze_epoch": "half"},
    "learned": {"type": "QConfig", "activation": {"learn": True}},
    "learned on powers of two, batch norms in training": {
        "type": "QConfig",
        "activation": {"learn": True},
        "scale_grid": "pow2",
        "bn": "train",
        "bn_freeze_epoch": 1,
    },
}


@pytest.mark.parametrize("qconfig", QCONFIGS.values(), ids=QCONFIGS)
@pytest.mark.parametrize("step", [2, 5])
def test_qat_resumes_to_the_bit(tiny_config, tmp_path, qconfig, step):
    interruption = {"type": "InterruptAt", "step": step}
    tiny_config["qat_trainer"]["num_epochs"] = 2
    tiny_config["qat_trainer"]["callbacks"] = [
        interruption,
        {"type": "QuantRefresh", "refresh_steps": 3},
        {"type": "ExponentialMovingAverage", "decay": 0.9, "ramp": 2.0},
        {"type": "Checkpoint"},
    ]
    tiny_config["stage_checkpoint"] = "last"
    tiny_config["qconfig"] = qconfig
    run = Run(tiny_config)
    for name in ("float", "calibration"):
        run_stage(run, name)
    with pytest.raises(KeyboardInterrupt):
        run_stage(run, "qat")
    run_stage(run, "qat", resume=True)
    parts = load_checkpoint(run.checkpoint("qat"))
    interruption["step"] = 99
    whole_run = Run(tiny_config)
    run_stage(whole_run, "qat")
    whole = load_checkpoint(whole_run.checkpoint("qat"))
    assert_same(whole, parts)
    learned = [name for name in whole["state_dict"] if name.endswith("log_scale")]
    assert len(learned) == (2 if "activation" in qconfig else 0)  # the scale of the image is fixed
    ranges = [name for name in whole["state_dict"] if name.endswith("absmax")]
    assert len(ranges) == (2 if "ranges" in qconfig else 0)
    start = load_checkpoint(run.checkpoint("calibration"))["state_dict"]
    for name in learned:
        assert start[name] == 0 != whole["state_dict"][name] != whole["ema_state_dict"][name]
    for name in ranges:
        assert start[name] != whole["state_dict"][name] == whole["ema_state_dict"][name]
    row = run_stage(whole_run, "int_infer")
    assert row["passed"]
