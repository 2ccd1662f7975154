"""Every config in one table: what was measured with it, how large its network is, and how fast it would be.

Accuracy is read from the headers (:mod:`hatlite.analysis.config_header`); the rest is worked out. Working out takes
seconds to minutes for each network and march, so results are kept, with a checksum of what the config says of them: the
network's dict, its quantisation and the size of the image. What still has its checksum is not worked out again. The
checksum knows no code: after a change of the models, the counting, a march or its cost model, start afresh.
"""

import hashlib
import inspect
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hatlite.analysis.config_header import read_header
from hatlite.compiler import CompilerOptions, estimate
from hatlite.config import dump, to_json
from hatlite.engine.complexity import complexity_of
from hatlite.engine.inspection import lower_from_config
from hatlite.engine.parts import build_deployed
from hatlite.engine.run import Run
from hatlite.errors import CaptureError, ConfigError, MarchError, QuantizationError
from hatlite.march import MARCHES, get_march
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["ZooRow", "find_configs", "kept_results", "zoo_rows", "zoo_table"]

KINDS = ("float", "calibration", "qat", "int_infer")
COLUMNS = {"calibration_weights": "calibration"}  # kinds that share the column of another
HEADINGS = ("model", "backbone", "stride", "resolution", "march", *KINDS, "GMACs", "ms", "config")
_SIZES = ("model_type", "depth", "width_mult", "width_coefficient")

Worked = dict[str, Any]
Kept = dict[str, dict[str, Worked]]


@dataclass(frozen=True)
class ZooRow:
    """One config on one march.

    Attributes:
        config: The file.
        model: Class of the detector and of its neck.
        backbone: Its class and which of its kind.
        shape: (N, C, H, W) of the input.
        march: Name; empty where the config's stages make no integers.
        accuracy: Kind of stage → metric → value in 0…1, as far as it was measured.
        worked: ``stride`` of the backbone's last feature; ``macs`` by mmcv's rule; ``ms`` for an image, None where the
            march cannot run the network; ``checksum`` of what these follow from.
    """

    config: Path
    model: str
    backbone: str
    shape: tuple[int, ...]
    march: str
    accuracy: Mapping[str, Mapping[str, float]]
    worked: Worked


def find_configs(folder: str | Path) -> list[Path]:
    """Return the configs below `folder`, in order; names that start with an underscore are left out.

    Raises:
        ConfigError: There are none.
    """
    found = sorted(file for file in Path(folder).rglob("*.py") if not file.name.startswith("_"))
    if not found:
        raise ConfigError(f"{folder} has no configs; name a folder with Python files of dicts, such as configs.")
    return found


@contextmanager
def kept_results(table: Path, *, afresh: bool = False) -> Iterator[Kept]:
    """Give the results that are kept beside `table`, for :func:`zoo_rows`; write them when the block ends, however.

    Args:
        table: The file of the table; results have its name and end in ``.json``.
        afresh: Start with none.

    Raises:
        ConfigError: The file of results is damaged.
    """
    path = table.with_suffix(".json")
    try:
        before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        kept = {file: {march: dict(found) for march, found in rows.items()} for file, rows in before.items()}
    except (ValueError, AttributeError, TypeError) as cause:
        raise ConfigError(f"{path} is damaged ({cause}); delete it, and everything is worked out again.") from cause
    kept = {} if afresh else kept
    try:
        yield kept
    finally:
        found = {file: rows for file, rows in kept.items() if rows}
        if found != before:
            dump(found, path)


def zoo_rows(configs: Sequence[Path], kept: Kept, tell: Callable[[str], None] = lambda said: None) -> list[ZooRow]:
    """Return the rows of `configs`: one for each march that runs them, or one alone where stages make no integers.

    A march other than the config's own is what ``--opts march=…`` makes of the config; it has no row if it cannot run
    the network and nothing was measured on it. A config that assigns no ``march`` has its own alone.

    Args:
        configs: Files.
        kept: What was worked out before, by config and march; it is changed as the work goes on, and holds in the end
            what the rows hold.
        tell: Gets a line whenever something has to be worked out.

    Raises:
        ConfigError: A config cannot be used, has a table of another form, or does not say the size of its image.
    """
    rows: list[ZooRow] = []
    for file in configs:
        try:
            rows += _rows(file, kept.setdefault(file.as_posix(), {}), tell)
        except ConfigError as problem:
            known = str(file) in str(problem)
            raise problem if known else ConfigError(f"{file}: {problem}", path=str(file)) from problem
    for name in set(kept) - {file.as_posix() for file in configs}:
        del kept[name]
    return rows


def zoo_table(rows: Sequence[ZooRow], folder: str | Path) -> str:
    """Return the table as Markdown; configs are links from `folder`, where it is to stand."""
    lines = [list(HEADINGS), *(_cells(row, folder) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def _rows(file: Path, kept: dict[str, Worked], tell: Callable[[str], None]) -> list[ZooRow]:
    run = Run.load(str(file))
    own = run.config["march"]
    measured = read_header(file, own, [stage.name for stage in run.stages])
    names = [own] if "march" in run.derived else list(MARCHES)
    runs = {name: run if name == own else Run.load(str(file), [f"march={name}"]) for name in names}
    if all(stage.kind == "float" for stage in run.stages):
        runs, measured = {"": run}, {"": measured.get(own, {})}
    for name in set(kept) - set(runs):
        del kept[name]
    rows = [_row(file, one, name, measured.get(name, {}), kept, tell) for name, one in runs.items()]
    return [row for row in rows if row.march in ("", own) or row.worked["ms"] or row.accuracy.keys() - {"float"}]


def _row(
    file: Path,
    run: Run,
    march: str,
    measured: Mapping[str, Mapping[str, float]],
    kept: dict[str, Worked],
    tell: Callable[[str], None],
) -> ZooRow:
    model, shape = run.config["deploy_model"], _shape(run)
    checksum = _checksum(run, shape, march)
    if kept.get(march, {}).get("checksum") != checksum:
        tell(f"{file}{march and f' on {march}'} is counted and estimated.")
        kept[march] = {"checksum": checksum, **_work_out(run, shape, march)}
    accuracy = {
        COLUMNS.get(stage.kind, stage.kind): measured[stage.name] for stage in run.stages if stage.name in measured
    }
    return ZooRow(
        config=file,
        model=", ".join(_class(part) for part in (model, model.get("neck")) if part),
        backbone=_sized(model["backbone"]) if "backbone" in model else "",
        shape=shape,
        march=march,
        accuracy=accuracy,
        worked=kept[march],
    )


def _shape(run: Run) -> tuple[int, ...]:
    if "deploy_inputs" not in run.config:
        raise ConfigError(
            f"{run.source} has no deploy_inputs, so the size of its image is unknown; write"
            " deploy_inputs = dict(img=torch.zeros(1, 3, *image_size))."
        )
    return tuple(run.config["deploy_inputs"]["img"].shape)


def _class(part: Mapping[str, Any]) -> str:
    return OBJECT_REGISTRY.get(part["type"]).__name__


def _sized(backbone: Mapping[str, Any]) -> str:
    """Return the class of a backbone and what says how large it is; a width of 1 says nothing."""
    defaults = inspect.signature(OBJECT_REGISTRY.get(backbone["type"])).parameters
    sizes = [backbone.get(key, defaults[key].default) for key in _SIZES if key in defaults]
    return " ".join([_class(backbone), *(str(size) for size in sizes if size not in (None, 1))])


def _checksum(run: Run, shape: Sequence[int], march: str) -> str:
    parts = [run.config["deploy_model"], run.config.get("qconfig"), shape, march]
    return hashlib.sha256(to_json(parts).encode()).hexdigest()[:16]


def _work_out(run: Run, shape: Sequence[int], march: str) -> Worked:
    counts = complexity_of(run, shape, device="meta")
    network = getattr(build_deployed(run)[1], "network", None)
    strides = getattr(getattr(network, "backbone", None), "stride2channels", None)
    ms = None
    if march:
        try:
            ms = round(estimate(lower_from_config(run.config), get_march(march), CompilerOptions()).latency_ms, 3)
        except (CaptureError, MarchError, QuantizationError):  # it cannot run there; tools/model_checker.py says why
            ms = None
    return {"stride": max(strides) if strides else None, "macs": counts.total("mmcv"), "ms": ms}


def _cells(row: ZooRow, folder: str | Path) -> list[str]:
    height, width = row.shape[2:]
    values = [row.accuracy.get(kind, {}) for kind in KINDS]
    accuracy = [" / ".join(f"{found[key]:.4f}" for key in ("mAP", "AP50") if key in found) for found in values]
    stride, macs, ms = (row.worked[key] for key in ("stride", "macs", "ms"))
    link = Path(os.path.relpath(row.config, folder)).as_posix()
    return [
        row.model,
        row.backbone,
        str(stride or ""),
        f"{height}×{width}",
        row.march,
        *accuracy,
        f"{macs / 1e9:.2f}",
        "" if ms is None else f"{ms:.3f}",
        f"[{row.config.stem}]({link})",
    ]
