"""Paths that a config names and that may be missing."""

from pathlib import Path

from hatlite.data.datasets.report import listed
from hatlite.errors import DataNotFoundError
from hatlite.registry import nearest

__all__ = ["near_path", "require_path"]


def _missing_below(path: Path) -> tuple[Path, Path]:
    """Return the deepest existing folder above `path`, and what is missing below it."""
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder, path.relative_to(folder)


def near_path(path: str | Path) -> str:
    """Return what a missing `path` may have meant, as an ending of a message; empty where nothing is near.

    Below ``mscoco`` the packer leaves what some configs look for below ``coco``.
    """
    path = Path(path)
    folder, missing = _missing_below(path)
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    rest = missing.parts[1:]
    whole = [str(entry.joinpath(*rest)) for entry in entries if rest and entry.joinpath(*rest).exists()]
    hint = nearest(str(path), whole)
    hint = hint or nearest(missing.parts[0], [entry.name for entry in entries]).replace("mean '", f"mean '{folder}/")
    if not hint and "coco" in path.parts:
        return f"\n  Did you mean {str(Path(*('mscoco' if part == 'coco' else part for part in path.parts)))!r}?"
    return hint


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
    folder, _ = _missing_below(path)
    holds = listed(sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))) or "nothing"
    text = f"{what} is expected at {path}, which does not exist; {folder} holds {holds}."
    raise DataNotFoundError(f"{text}{near_path(path)}")
