import dataclasses

import pytest
import torch
from torch import nn

from hatlite.engine.checkpoint import (
    check_resumable,
    deployed_weights,
    describe,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from hatlite.engine.loop import RunInfo
from hatlite.errors import CheckpointError

RUN = RunInfo(stage="float", task_name="ours", classes=("cat", "dog"))


class Detector(nn.Module):
    def __init__(self, width: int = 2, quantized: bool = False, extra: bool = False) -> None:
        super().__init__()
        self.network = nn.Module()
        self.network.conv = nn.Conv2d(3, width, 1)
        if quantized:
            self.network.sites = nn.ModuleDict({"conv": nn.BatchNorm2d(2)})
        if extra:
            self.network.neck = nn.Linear(1, 1)


def checkpoint(model, **more):
    return {**describe(model, RUN), "state_dict": model.state_dict(), **more}


def test_a_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "a.pth.tar"
    model = Detector()
    save_checkpoint(checkpoint(model), path)
    content = path.read_bytes()
    weight = model.network.conv.weight.detach().numpy().tobytes()
    assert content.count(weight) == 1
    path.write_bytes(content.replace(weight, weight[:-1] + bytes([weight[-1] ^ 1])))
    with pytest.raises(CheckpointError, match=r"a\.pth\.tar is damaged: the checksum of \S+ differs; run its stage"):
        load_checkpoint(path)


def test_a_checkpoint_goes_to_disk_and_back(tmp_path):
    path = tmp_path / "new" / "a.pth.tar"
    save_checkpoint(checkpoint(Detector()), path)
    state = load_checkpoint(path)
    assert state["structure"] == {"network.conv.weight": [2, 3, 1, 1], "network.conv.bias": [2]}
    assert state["classes"] == ["cat", "dog"]
    assert [file.name for file in path.parent.iterdir()] == ["a.pth.tar"]


def test_a_write_that_fails_leaves_the_older_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.pth.tar"
    save_checkpoint(checkpoint(Detector(), value=1), path)

    def fail(state, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(checkpoint(Detector(), value=2), path)
    assert load_checkpoint(path)["value"] == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(CheckpointError, match=r"There is no checkpoint .*a.pth.tar.\n  Run this"):
        load_checkpoint(tmp_path / "a.pth.tar", hint="Run this")


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all", b"hello", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "a.pth.tar"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"a.pth.tar is damaged or no checkpoint \(.*\)\.\n  Name another f"):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match=r"damaged or no checkpoint \(.*\)\.\n  Run this$"):
        load_checkpoint(path, hint="Run this")
    assert path.read_bytes() == content, "whoever's file it is, it stays"


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "a.pth.tar"
    save_checkpoint(checkpoint(Detector()), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match="is damaged or no checkpoint"):
        load_checkpoint(path)


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


def test_code_in_a_file_never_runs(tmp_path, capsys):
    torch.save({"format": 1, "evil": Evil()}, tmp_path / "a")
    with pytest.raises(CheckpointError, match="is damaged or no checkpoint"):
        load_checkpoint(tmp_path / "a")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("state", "found"), [({"format": 9}, "9"), ({}, "None"), ([1], "None")])
def test_a_file_of_another_format_is_refused(tmp_path, state, found):
    torch.save(state, tmp_path / "a")
    with pytest.raises(CheckpointError, match=rf"no hatlite checkpoint of format 1 \(its format is {found}\)"):
        load_checkpoint(tmp_path / "a")


def test_the_moving_average_counts_where_there_is_one():
    assert deployed_weights({"state_dict": 1}) == 1
    assert deployed_weights({"state_dict": 1, "ema_state_dict": 2}) == 2


def test_float_weights_go_into_a_quantized_model_and_back():
    plain, quantized = Detector(), Detector(quantized=True)
    load_weights(quantized, checkpoint(plain), path="a", run=RUN)
    assert torch.equal(quantized.network.conv.weight, plain.network.conv.weight)
    other = Detector()
    load_weights(other, checkpoint(quantized), path="a", run=RUN)
    assert torch.equal(other.network.conv.weight, plain.network.conv.weight)


def test_what_does_not_fit_is_told_how_to_mend():
    said = r"\n  Use the config and --opts that it was written with, or run stage 'float' again\.$"
    with pytest.raises(CheckpointError, match=said):
        load_weights(Detector(extra=True), checkpoint(Detector()), path="a", run=RUN, need_sites=False)


def test_a_quantized_stage_needs_the_sites():
    with pytest.raises(CheckpointError, match=r"It lacks network.sites.conv.weight, network.sites.conv.bias"):
        load_weights(Detector(quantized=True), checkpoint(Detector()), path="a", run=RUN, need_sites=True)


def test_scales_of_another_march_are_refused_and_weights_are_not():
    run = dataclasses.replace(RUN, config='{"march": "tidl"}', stage="qat")
    theirs = {**checkpoint(Detector(quantized=True)), "config": '{"march": "bayes-sim"}', "stage": "qat"}
    said = (
        r"Checkpoint a \(task 'ours', stage 'qat'\) was quantised for march 'bayes-sim', and task 'ours', stage 'qat'"
        r" has 'tidl'; give --opts march=bayes-sim, or calibrate anew for 'tidl' from a float checkpoint\.$"
    )
    for load in (load_weights, check_resumable):
        with pytest.raises(CheckpointError, match=said):
            load(Detector(quantized=True), theirs, path="a", run=run)
    load_weights(Detector(), theirs, path="a", run=run)
    load_weights(Detector(quantized=True), {**checkpoint(Detector()), "config": theirs["config"]}, path="a", run=run)


@pytest.mark.parametrize(
    ("model", "saved", "said"),
    [
        (Detector(extra=True), Detector(), r"It lacks network.neck.weight, network.neck.bias\."),
        (Detector(), Detector(extra=True), r"It has unknown network.neck.weight, network.neck.bias\."),
        (
            Detector(),
            Detector(width=5),
            r"It has other shapes for network.conv.weight \[5, 3, 1, 1\] instead of \[2, 3,",
        ),
    ],
)
def test_the_checkpoint_of_another_network_is_refused_with_both_names(model, saved, said):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    theirs = {**checkpoint(saved), "task_name": "theirs", "stage": "qat"}
    with pytest.raises(
        CheckpointError, match=rf"\(task 'theirs', stage 'qat'\) .* task 'ours', stage 'float'.\n  {said}"
    ):
        load_weights(model, theirs, path="a", run=RUN)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_only_the_first_names_are_listed():
    model = nn.Sequential(*(nn.Linear(1, 1) for _ in range(4)))
    with pytest.raises(CheckpointError, match=r"lacks 0.weight, 0.bias, 1.weight, 1.bias, 2.weight and 3 more"):
        load_weights(model, checkpoint(nn.Module()), path="a", run=RUN)


def test_other_classes_are_refused():
    run = dataclasses.replace(RUN, classes=("cat", "cow"))
    with pytest.raises(
        CheckpointError, match=r"was trained on other classes than task 'ours', .* only this run has 'cow'"
    ):
        load_weights(Detector(), checkpoint(Detector()), path="a", run=run)


def test_another_stage_cannot_be_resumed():
    run = dataclasses.replace(RUN, stage="qat")
    with pytest.raises(CheckpointError, match="stage 'float'\\) cannot be resumed by task 'ours', stage 'qat'"):
        check_resumable(Detector(), checkpoint(Detector()), path="a", run=run)
    check_resumable(Detector(), checkpoint(Detector()), path="a", run=RUN)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        (None, "stage, task_name, config, classes, state_dict"),
        ({"state_dict": 3}, "state_dict"),
        ({"classes": "cat"}, "classes"),
    ],
)
def test_what_lacks_its_entries_is_refused(tmp_path, changes, wrong):
    path = tmp_path / "a.pth.tar"
    save_checkpoint({"format": 1} if changes is None else checkpoint(Detector(), **changes), path)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    said = (
        f"{path} is no whole checkpoint of hatlite: it lacks {wrong}, or has something else there; run its stage again."
    )
    assert str(caught.value) == said
