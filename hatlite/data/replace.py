"""Folders that appear whole or not at all."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hatlite.errors import DataError
from hatlite.files import output_folder

__all__ = ["replace_folder"]


@contextmanager
def replace_folder(target: Path, *, force: bool) -> Iterator[Path]:
    """Give a temporary folder beside `target`, and rename it to `target` when the block ends without an error.

    Args:
        target: Where the folder shall be.
        force: Replace what is there.

    Raises:
        DataError: `target` exists and `force` is not set.
        OutputError: The folder cannot be made there.
    """
    if target.exists() and not force:
        raise DataError(f"{target} exists already; pass --force to replace it, or choose another place.")
    with (
        output_folder(target.parent, of=target) as parent,
        tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=parent) as scratch,
    ):
        fresh, old = Path(scratch) / "new", Path(scratch) / "old"
        fresh.mkdir()
        yield fresh
        if target.exists():
            target.rename(old)
        fresh.rename(target)
