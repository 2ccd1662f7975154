"""One stage at a time works in a run's folder: two would replace each other's checkpoints and mix their scalars.

The lock belongs to the process, not to what it forks, and the system releases it when the process ends in whatever way.
What only reads needs none.
"""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from hatlite.errors import StageError
from hatlite.files import naming_output, output_folder
from hatlite.log import get_logger

__all__ = ["LOCK", "alone_in"]

logger = get_logger(__name__)

LOCK = ".lock"
"""Name of the file in the run's folder; it says who works there, and goes away when the work ends."""


@contextmanager
def alone_in(folder: Path, stage: str) -> Iterator[None]:
    """Hold the lock of `folder`, which is made if it is missing, while `stage` works there.

    Raises:
        StageError: Another process holds it.
        OutputError: The system lets no file be written there.
    """
    with output_folder(folder):
        file = _locked(folder)
        try:
            file.truncate()
            file.write(f"process {os.getpid()} on {socket.gethostname()} works there on stage {stage!r}")
            file.flush()
            yield
        finally:
            (folder / LOCK).unlink(missing_ok=True)  # while it is held: nobody else's file can be meant
            file.close()


def _locked(folder: Path) -> TextIO:
    """Return the file of the lock, open and held."""
    path = folder / LOCK
    while True:
        with naming_output(path):
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+", encoding="utf-8")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as cause:
            if cause.errno in (errno.EACCES, errno.EAGAIN):
                with file:
                    raise StageError(_busy(folder, file.read())) from None
            logger.warning("%s cannot be locked (%s): a second training there goes unnoticed.", path, cause.strerror)
            return file
        if path.is_file() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
        file.close()  # the one that held it has just taken the file away


def _busy(folder: Path, who: str) -> str:
    return (
        f"{folder} is in use: {who or 'another process works there'}; wait for its end, or give this run a folder of"
        " its own, such as --opts ckpt_dir=DIR."
    )
