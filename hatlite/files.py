"""Files that appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hatlite.errors import HatliteError, OutputError

__all__ = ["make_folder", "naming_output", "output_folder", "whole_file"]


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; the file becomes `path` when the block ends without an error.

    The folder is made if it is missing. An error or an interruption leaves the older file of that name, or none. Both
    names end alike, since the ending tells some writers the format.

    Raises:
        OutputError: The system lets no file be written there.
    """
    path = Path(path)
    with naming_output(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with naming_output(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: str | Path) -> Path:
    """Make the folder `path` and those above it where they are missing, and return it.

    Raises:
        OutputError: The system does not let it be made.
    """
    path = Path(path)
    with naming_output(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def output_folder(path: str | Path, *, of: Path | None = None) -> Iterator[Path]:
    """Make the folder `path` for work whose results go there, and see before that work that files can be written.

    What was made for it and is still empty when the block ends, because it failed or had nothing to write, goes away.

    Args:
        path: The folder.
        of: What is to be written there, for the message; None for the folder itself.

    Raises:
        OutputError: The system does not let it be made, or lets no file be written there.
    """
    path = Path(path)
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        with naming_output(of or path):
            path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path).close()
        yield path
    finally:
        with suppress(OSError):  # a folder with something in it stays, and those above it too
            for folder in missing:
                folder.rmdir()


@contextmanager
def naming_output(path: Path) -> Iterator[None]:
    """Say of an error of the system that it was `path` that could not be written.

    Raises:
        OutputError: In its place.
    """
    try:
        yield
    except HatliteError:
        raise
    except OSError as cause:
        raise OutputError(f"{path} cannot be written ({cause.strerror or cause}); name another place.") from cause
