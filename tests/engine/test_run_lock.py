"""Two stages in one folder: the second is told who works there."""

import errno
import fcntl
import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from process_groups import forked

from hatlite.engine import Run, run_stage
from hatlite.engine.run_lock import LOCK, alone_in
from hatlite.errors import OutputError, StageError


def attempt(rank: int, folder: Path) -> str:
    try:
        with alone_in(folder, "qat"):
            return "held"
    except StageError as refused:
        return str(refused)


def test_the_second_is_told_who_works_there(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with alone_in(folder, "float"):
        (refused,) = forked(1, attempt, folder)
        assert forked(1, attempt, tmp_path / "other") == ["held"]
    assert refused.startswith(f"{folder} is in use: process {os.getpid()} on ")
    assert refused.endswith(
        " works there on stage 'float'; wait for its end, or give this run a folder of its own, such as"
        " --opts ckpt_dir=DIR."
    )
    assert list(tmp_path.iterdir()) == [], "what the work has not filled goes away"
    assert forked(1, attempt, folder) == ["held"]


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        with alone_in(tmp_path, "float"):
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert (tmp_path / LOCK).read_text(encoding="utf-8").startswith(f"process {child} on ")
    with alone_in(tmp_path, "qat"):
        assert (tmp_path / LOCK).read_text(encoding="utf-8").startswith(f"process {os.getpid()} on ")


def test_a_stage_holds_it_while_it_works(tiny_config: dict[str, Any]) -> None:
    run = Run(tiny_config)

    def train(rank: int) -> str:
        with pytest.raises(StageError) as refused:
            run_stage(run, "float")
        return str(refused.value)

    with alone_in(run.folder, "qat"):
        (refused,) = forked(1, train)
        assert [file.name for file in run.folder.iterdir()] == [LOCK], "the refused one wrote nothing"
    assert f"{run.folder} is in use: process {os.getpid()} on " in refused and "on stage 'qat'" in refused
    run_stage(run, "float")
    assert "float-checkpoint-best.pth.tar" in {file.name for file in run.folder.iterdir()}
    assert not (run.folder / LOCK).exists()


def test_a_file_that_was_just_taken_away_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, locked = fcntl.lockf, []

    def late(file: object, how: int) -> None:
        if not locked:
            (tmp_path / LOCK).unlink()
        locked.append(how)
        lock(file, how)

    monkeypatch.setattr(fcntl, "lockf", late)
    with alone_in(tmp_path, "float"):
        assert len(locked) == 2 and (tmp_path / LOCK).is_file()


def test_where_the_system_has_no_locks_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(file: object, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", none)
    with caplog.at_level(logging.WARNING, logger="hatlite"), alone_in(tmp_path, "float"):
        pass
    assert caplog.messages == [
        f"{tmp_path / LOCK} cannot be locked (No locks available): a second training there goes unnoticed."
    ]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file/run cannot be written"), alone_in(tmp_path / "file" / "run", "float"):
        pass
