"""Paths that a config names and that may be missing."""

from pathlib import Path

from hatlite.data.datasets.report import listed
from hatlite.errors import DataNotFoundError
from hatlite.registry import nearest

__all__ = ["require_path"]


def _missing_below(path: Path) -> tuple[Path, Path]:
    """Return the deepest existing folder above `path`, and what is missing below it."""
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder, path.relative_to(folder)


def require_path(path: str | Path, what: str) -> Path:
    """Return `path`, which must exist.

    Args:
        what: What is expected there, for the message: ``the packed data set``.

    Raises:
        DataNotFoundError: Naming the nearest path that exists.
    """
    path = Path(path)
    if path.exists():
        return path
    folder, missing = _missing_below(path)
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    rest = missing.parts[1:]
    whole = [str(entry.joinpath(*rest)) for entry in entries if entry.joinpath(*rest).exists()]
    hint = nearest(str(path), whole) or nearest(str(folder / missing.parts[0]), [str(entry) for entry in entries])
    holds = listed([entry.name for entry in entries]) or "nothing"
    raise DataNotFoundError(f"{what} is expected at {path}, which does not exist; {folder} holds {holds}.{hint}")
