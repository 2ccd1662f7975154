"""A run cut down to a few batches of every stage: does everything work, before hours are spent?"""

from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils.data import DataLoader

from hatlite.engine.run import Run

__all__ = ["cut_short"]

BATCHES = 2
FOLDER = "pipeline-test"
FLAG = "--pipeline-test"


def cut_short(run: Run) -> None:
    """Let every stage of `run` be one epoch of two batches, evaluated on two, in a folder of its own below the run's.

    Metrics say nothing then; what is written, and in which order, is as ever.
    """
    run.config["ckpt_dir"] = str(run.folder / FOLDER)
    run.flags = (*run.flags, FLAG)
    for part in _dicts(run.config, set()):
        if part.get("type") is DataLoader:
            part.pop("shuffle", None)
            part["sampler"] = {"type": "FirstSampler", "count": BATCHES * part.get("batch_size", 1)}
    for stage in run.stages:
        trainer = run.config.get(f"{stage.name}_trainer")
        if isinstance(trainer, dict):
            trainer |= {key: value for key, value in (("num_epochs", 1), ("num_steps", BATCHES)) if key in trainer}


def _dicts(value: Any, seen: set[int]) -> Iterator[dict[str, Any]]:
    """Yield every dict below `value` once, wherever it stands."""
    if id(value) in seen or not isinstance(value, (Mapping, list, tuple)):
        return
    seen.add(id(value))
    if isinstance(value, dict):
        yield value
    for item in list(value.values()) if isinstance(value, Mapping) else value:
        yield from _dicts(item, seen)
