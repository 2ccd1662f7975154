"""A run cut down to a few batches of every stage: does everything work, before hours are spent?"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from hatlite.engine.run import Run

__all__ = ["cut_short"]

BATCHES = 2
FOLDER = "pipeline-test"
ELSEWHERE = "elsewhere"
FLAG = "--pipeline-test"
PATHS = ("checkpoint_path", "model_path", "out_dir")
"""Keys that name a file of an earlier stage, or a place; those in the run's folder move with it."""


def cut_short(run: Run) -> None:
    """Let every stage of `run` be one epoch of two batches, evaluated on two, in a folder of its own below the run's.

    Metrics say nothing then; what is written, and in which order, is as ever.
    """
    folder = run.folder / FOLDER
    for part in _dicts(run.config, set()):
        part |= {key: _moved(part[key], run.folder, folder) for key in PATHS if isinstance(part.get(key), (str, Path))}
        part |= {"save_dir": _folder_for(part["save_dir"], run.folder, folder)} if part.get("save_dir") else {}
    run.config["ckpt_dir"] = str(folder)
    run.flags = (*run.flags, FLAG)
    for part in _dicts(run.config, set()):
        if part.get("type") is DataLoader:
            part.pop("shuffle", None)
            part["sampler"] = {"type": "FirstSampler", "count": BATCHES * part.get("batch_size", 1)}
    for stage in run.stages:
        trainer = run.config.get(f"{stage.name}_trainer")
        if isinstance(trainer, dict):
            trainer |= {key: value for key, value in (("num_epochs", 1), ("num_steps", BATCHES)) if key in trainer}


def _folder_for(path: str, old: Path, new: Path) -> str:
    """Return where files go that would go to `path`: into `new` in any case, but not to the run's own files there."""
    moved = Path(_moved(path, old, new))
    return str(moved if moved.is_relative_to(new) else new / ELSEWHERE)


def _moved(path: str | Path, old: Path, new: Path) -> str:
    """Return `path` with its beginning `old`, if it has that, replaced by `new`."""
    here = Path(path).absolute()
    return str(new / here.relative_to(old.absolute())) if here.is_relative_to(old.absolute()) else str(path)


def _dicts(value: Any, seen: set[int]) -> Iterator[dict[str, Any]]:
    """Yield every dict below `value` once, wherever it stands."""
    if id(value) in seen or not isinstance(value, (Mapping, list, tuple)):
        return
    seen.add(id(value))
    if isinstance(value, dict):
        yield value
    for item in list(value.values()) if isinstance(value, Mapping) else value:
        yield from _dicts(item, seen)
