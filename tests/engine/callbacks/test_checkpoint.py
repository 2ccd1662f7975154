import hashlib
from types import SimpleNamespace

import pytest
import torch

from hatlite.engine.callbacks import Checkpoint
from hatlite.engine.checkpoint import load_checkpoint
from hatlite.engine.loop import RunInfo
from hatlite.errors import ConfigError


class Loop(SimpleNamespace):
    @property
    def finished(self):
        return self.epoch == self.num_epochs

    def state_dict(self):
        return {"epoch": self.epoch, "state_dict": self.model.state_dict()}


def loop(folder, **more):
    model = torch.nn.Linear(1, 1)
    base = {
        "model": model,
        "run": RunInfo("qat", "t", folder),
        "num_epochs": 4,
        "interrupted": False,
        "resumable": True,
    }
    return Loop(**{**base, "metrics": {}, **more})


def epochs_kept(callback, folder, values):
    """Return the epochs of `best` and `last` after epochs with these values (None: not validated)."""
    for epoch, value in enumerate(values, 1):
        metrics = {} if value is None else {"mAP": value}
        callback.on_epoch_end(loop(folder, epoch=epoch, metrics=metrics))
    files = [folder / f"qat-checkpoint-{which}.pth.tar" for which in ("best", "last")]
    return [load_checkpoint(file)["epoch"] if file.is_file() else None for file in files]


def test_best_is_the_first_of_the_highest(tmp_path):
    assert epochs_kept(Checkpoint(), tmp_path, [0.1, 0.4, 0.4, 0.2]) == [2, 4]
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "qat-checkpoint-best.pth.tar",
        "qat-checkpoint-last.pth.tar",
    ]


def test_best_may_be_the_lowest(tmp_path):
    assert epochs_kept(Checkpoint(mode="min"), tmp_path, [0.3, 0.1, 0.2]) == [2, 3]


def test_the_interval_spares_files_but_not_the_best(tmp_path):
    assert epochs_kept(Checkpoint(save_interval=5), tmp_path, [None, 0.2, None]) == [2, 2]


def test_without_validation_there_is_no_best(tmp_path):
    assert epochs_kept(Checkpoint(), tmp_path, [None, None]) == [None, 2]


def test_folder_and_prefix_may_be_chosen(tmp_path):
    callback = Checkpoint(save_dir=str(tmp_path / "a"), name_prefix="x-")
    assert callback.path(loop(tmp_path), "last") == tmp_path / "a" / "x-checkpoint-last.pth.tar"


def test_a_resumed_run_keeps_a_better_best(tmp_path):
    first, second = Checkpoint(), Checkpoint()
    epochs_kept(first, tmp_path, [0.5])
    second.load_state_dict(first.state_dict())
    second.on_epoch_end(loop(tmp_path, epoch=2, metrics={"mAP": 0.4}))
    assert load_checkpoint(tmp_path / "qat-checkpoint-best.pth.tar")["epoch"] == 1


@pytest.mark.parametrize(("interrupted", "resumable", "written"), [(1, 1, True), (1, 0, False), (0, 1, False)])
def test_an_interruption_writes_last_where_it_can_be_resumed(tmp_path, interrupted, resumable, written):
    Checkpoint().on_loop_end(loop(tmp_path, epoch=1, interrupted=bool(interrupted), resumable=bool(resumable)))
    assert (tmp_path / "qat-checkpoint-last.pth.tar").is_file() is written


def test_a_metric_that_is_not_measured_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=r"monitors 'mAP', which validation .*\n.*mean 'AP'.\n  Measured: AP, val_loss"
    ):
        Checkpoint().on_epoch_end(loop(tmp_path, epoch=1, metrics={"AP": 1.0, "val_loss": 2.0}))
    assert load_checkpoint(tmp_path / "qat-checkpoint-last.pth.tar")["epoch"] == 1, "what was trained is not lost"


def test_an_unknown_mode_is_refused():
    with pytest.raises(ConfigError, match="Checkpoint: mode is 'most'; expected 'max' or 'min'"):
        Checkpoint(mode="most")


def test_every_file_of_the_interval_is_kept_when_asked_for(tmp_path):
    epochs_kept(Checkpoint(save_interval=2, keep_all=True), tmp_path, [0.1, 0.2, 0.3, 0.2])
    kept = {which: load_checkpoint(tmp_path / f"qat-checkpoint-{which}.pth.tar")["epoch"] for which in ("0002", "0004")}
    assert kept == {"0002": 2, "0004": 4}
    assert len(list(tmp_path.iterdir())) == 4  # with best and last


def test_the_hash_is_what_sha256sum_reads(tmp_path):
    epochs_kept(Checkpoint(save_hash=True, strict_match=True), tmp_path, [0.1, 0.2])
    for which in ("best", "last"):
        file = tmp_path / f"qat-checkpoint-{which}.pth.tar"
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert file.with_name(f"{file.name}.sha256").read_text() == f"{digest}  {file.name}\n"


def test_the_hash_of_an_earlier_run_does_not_stay(tmp_path):
    epochs_kept(Checkpoint(save_hash=True), tmp_path, [0.1])
    epochs_kept(Checkpoint(), tmp_path, [0.2])
    assert not list(tmp_path.glob("*.sha256"))


def test_an_interval_below_one_is_refused():
    with pytest.raises(ConfigError, match="Checkpoint: save_interval is 0; expected at least 1 epoch"):
        Checkpoint(save_interval=0)
