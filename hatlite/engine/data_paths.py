"""Files and folders of the data that a config names: one sentence where one is missing, whoever needs it first."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hatlite.data.datasets.paths import near_path
from hatlite.engine.run import Run
from hatlite.errors import ConfigError, DataNotFoundError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["build_on_data", "missing_paths"]

PATH_KEYS = ("data_path", "ann_file", "img_path", "meta_file")
"""Keys of data sets and metrics whose text must name something that exists."""

MAKERS = {"_lmdb": "pack it with tools/mscoco_packer.py", "['meta_file']": "make it with tools/voc_to_meta.py"}
"""How data come about, by how their path or its place in the config ends."""


def build_on_data(run: Run, config: Any, path: str, **parts: Any) -> Any:
    """Build a loader, data set, metric or predictor of `run`, once all data that its `config` names is known to exist.

    Args:
        run: Where a missing path is named in its config, the message says so, rather than a dict derived from it.
        config: What is built.
        path: Its place in the config, for messages: ``['val_data_loader']``.
        parts: Arguments that the config does not hold.

    Raises:
        DataNotFoundError: Paths are missing; all are told.
    """
    needed = {text for _, text in _paths(config, "")}
    named = itertools.chain(_paths(run.config, "config"), _paths(config, f"config{path}"))
    if problems := list(_missing(pair for pair in named if pair[1] in needed)):
        raise DataNotFoundError(str(ConfigError.together(problems, f"the config {run.source}")))
    return OBJECT_REGISTRY.build(config, path=path, **parts)


def missing_paths(config: Mapping[str, Any]) -> Iterator[DataNotFoundError]:
    """Yield an error for every file or folder of the data that does not exist; none for what lies below another."""
    return _missing(_paths(config, "config"))


def _missing(named: Iterable[tuple[str, str]]) -> Iterator[DataNotFoundError]:
    told: set[Path] = set()
    for place, text in named:
        path = Path(text).expanduser()
        if not path.exists() and told.isdisjoint({path, *path.parents}):
            told.add(path)
            ways = (way for end, way in MAKERS.items() if path.name.endswith(end) or place.endswith(end))
            made = next(ways, "put the data there")
            yield DataNotFoundError(
                f"{place} is {text!r}, which does not exist here; {made}, or set it with --opts.{near_path(path)}"
            )


def _paths(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key in PATH_KEYS and isinstance(item, str):
                yield f"{place}[{key!r}]", item
            yield from _paths(item, f"{place}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _paths(item, f"{place}[{index}]")
