"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hatlite.errors import HatliteError, OutputError

__all__ = ["make_folder", "naming_output", "whole_file"]


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; the file becomes `path` when the block ends without an error.

    The folder is made if it is missing. An error or an interruption leaves the older file of that name, or none.

    Raises:
        OutputError: The system lets no file be written there.
    """
    path = Path(path)
    with naming_output(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
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
