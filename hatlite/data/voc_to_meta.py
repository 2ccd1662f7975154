"""Pascal VOC to the metadata of GNetDet (:mod:`hatlite.data.datasets.meta_file`)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hatlite import class_names
from hatlite.data.datasets.meta_file import MetaLine, require_countable, write_meta
from hatlite.data.datasets.record import ImageRecord
from hatlite.data.datasets.report import DataReport
from hatlite.data.datasets.voc_file import VOCFile
from hatlite.data.datasets.voc_folder import (
    Annotated,
    compare_objects,
    image_files,
    read_annotated,
    record_of,
    require_all,
    xml_files,
)
from hatlite.errors import ConfigError, DataError
from hatlite.files import whole_file

__all__ = ["MetaChoice", "MetaFiles", "voc_to_meta"]

IMAGES = "JPEGImages"
KEYS = {"meta_file", "img_path", "classes"}  # of the data set GNetMeta
SMALL_SIDE = 14  # pixels of the picture as the network gets it
SMALL = f"objects left out, below {SMALL_SIDE} pixels in width and height once the picture is resized (drop_small)"
EMPTY = "images left out, they have no object (keep_empty=False)"


SKIP = "--skip-unknown-classes"


@dataclass(frozen=True)
class MetaFiles:
    """What is written from where.

    Attributes:
        voc_dir: Holds ``Annotations`` and ``JPEGImages``; no lists of splits are needed.
        train, valid: Files to write.
        classes: In the order of their numbers; None takes all that occur, sorted.
    """

    voc_dir: Path
    train: Path
    valid: Path
    classes: Sequence[str] | None = None

    @classmethod
    def beside(cls, voc_dir: Path, classes: Sequence[str] | None = None) -> "MetaFiles":
        """Name the files as GNetDet does: ``meta/<folder>_train.txt`` and ``…_valid.txt`` beside the folder."""
        folder = voc_dir.absolute()  # a link keeps its own place and name
        train, valid = (folder.parent / "meta" / f"{folder.name}_{split}.txt" for split in ("train", "valid"))
        return cls(voc_dir, train, valid, classes)

    @classmethod
    def of_config(cls, cfg: Mapping[str, Any], path: str | Path) -> "MetaFiles":
        """Take all from the GNetMeta data sets that ``data_loader`` and ``val_data_loader`` of a config read.

        Raises:
            ConfigError: One of them reads no GNetMeta, or its images do not lie in ``JPEGImages``.
        """
        sets = []
        for key in ("data_loader", "val_data_loader"):
            found = next(_meta_sets(cfg.get(key)), None)
            if found is None or not found.keys() >= KEYS or Path(found["img_path"]).name != IMAGES:
                raise ConfigError(
                    f"{path}: {key} reads no data set of type GNetMeta whose img_path ends in {IMAGES}, so nothing says"
                    " which metadata to write; name the data set with --voc-dir."
                )
            sets.append(found)
        train, valid = (Path(found["meta_file"]) for found in sets)
        return cls(Path(sets[0]["img_path"]).parent, train, valid, sets[0]["classes"])


def _meta_sets(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the dicts of type GNetMeta in a dict and all that it holds."""
    if isinstance(value, Mapping):
        if value.get("type") == "GNetMeta":
            yield value
        for part in value.values():
            yield from _meta_sets(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _meta_sets(part)


@dataclass(frozen=True)
class MetaChoice:
    """Which images and objects are written, and where to.

    Attributes:
        share: Part of the annotations that is read at all, above 0 and up to 1; the same ones for the same seed.
        train_share: Part of the written images that is for training, 0…1; the rest is for validation.
        seed: Of the order in which images are dealt out.
        by_name: Train with the images whose name holds ``train`` instead; the others are for validation.
        keep_empty: Write images without objects.
        keep_difficult: Write difficult objects and crowds, as objects like others.
        remap: Class names by what they are called in the annotations.
        drop_small: Side of the network's picture in pixels: leave out objects that are below 14 pixels there in width
            and height; None leaves none out.
        repair, skip_unknown_classes: As for :class:`~hatlite.data.datasets.voc.VOCFromImage`.
    """

    share: float = 1.0
    train_share: float = 0.85
    seed: int = 0
    by_name: bool = False
    keep_empty: bool = False
    keep_difficult: bool = False
    remap: Mapping[str, str] = field(default_factory=dict)
    drop_small: int | None = None
    repair: bool = False
    skip_unknown_classes: bool = False


def voc_to_meta(files: MetaFiles, choice: MetaChoice, *, force: bool = False) -> str:
    """Write the metadata of a Pascal VOC folder, both files or none.

    Args:
        files: From where to where.
        choice: What of it.
        force: Replace files that exist.

    Returns:
        A summary to print.

    Raises:
        DataNotFoundError: The folder, a part of it or images are missing.
        DataError: A file exists, annotations are unusable, a class is unknown, or a split would be empty.
    """
    if existing := [str(path) for path in (files.train, files.valid) if path.exists() and not force]:
        raise DataError(f"{' and '.join(existing)} exists already; pass --force to replace both files.")
    report, rng = DataReport(), np.random.default_rng(choice.seed)
    annotated = _read(files.voc_dir, choice, rng, report)
    classes = files.classes
    if classes is None:
        classes = sorted({one["name"] for each in annotated for one in each.content.objects})
    class_names.require_names(classes, "classes")
    require_countable(classes, "classes")
    compare_objects(list(classes), annotated, report if choice.skip_unknown_classes else None, SKIP)
    lines = _lines(annotated, list(classes), choice, report)
    train, valid = _split(lines, choice)
    for path, part in ((files.train, train), (files.valid, valid)):
        if not part:
            raise DataError(
                f"{path} would be empty: of {len(annotated)} annotations {len(lines)} images are written, {len(train)}"
                f" of them to train; take more of them, keep those without objects, or split them another way."
            )
    with whole_file(files.valid) as second, whole_file(files.train) as first:
        write_meta(first, train)
        write_meta(second, valid)
    told = [f"{len(part)} images to {path}" for path, part in ((files.train, train), (files.valid, valid))]
    return f"{' and '.join(told)}\n{_counts(lines, classes)}\n{report}"


def _read(voc_dir: Path, choice: MetaChoice, rng: np.random.Generator, report: DataReport) -> list[Annotated]:
    """Return the annotations of the chosen share as they are dealt out, with the names of their classes."""
    annotations, images = xml_files(voc_dir), image_files(voc_dir)
    names = sorted(annotations)
    drawn = [names[place] for place in rng.permutation(len(names))]
    drawn = drawn[: max(1, round(choice.share * len(drawn)))]
    require_all(drawn, images, voc_dir / IMAGES, "annotations")
    found = read_annotated([(annotations[name], images[name]) for name in drawn], choice.repair, report)
    return [replace(each, content=_renamed(each.content, choice.remap)) for each in found]


def _renamed(content: VOCFile, remap: Mapping[str, str]) -> VOCFile:
    return replace(content, objects=[one | {"name": remap.get(one["name"], one["name"])} for one in content.objects])


def _lines(
    annotated: Sequence[Annotated], classes: list[str], choice: MetaChoice, report: DataReport
) -> list[MetaLine]:
    lines = []
    for number, each in enumerate(annotated, 1):
        record = record_of(number, each, classes, choice.keep_difficult, report)
        line = MetaLine(record.name, tuple(_objects(record, choice.drop_small, report)))
        if line.objects or choice.keep_empty:
            lines.append(line)
        else:
            report.add(EMPTY, record.name)
    return lines


def _objects(record: ImageRecord, drop_small: int | None, report: DataReport) -> Iterator[tuple[int, ...]]:
    """Yield the objects of a line: corners as VOC counts them, fractions cut off."""
    for (x1, y1, x2, y2), label in zip(record.boxes.tolist(), record.labels.tolist(), strict=True):
        sides = (x2 - x1) / record.width, (y2 - y1) / record.height
        if drop_small is not None and max(sides) * drop_small < SMALL_SIDE:
            report.add(SMALL, record.name)
        else:
            yield int(x1 + 1), int(y1 + 1), int(x2), int(y2), label


def _split(lines: Sequence[MetaLine], choice: MetaChoice) -> tuple[list[MetaLine], list[MetaLine]]:
    """Return the lines to train with and those to validate with, each in the order of the names."""
    count = int(choice.train_share * len(lines))
    chosen = ["train" in line.name if choice.by_name else place < count for place, line in enumerate(lines)]
    pairs = sorted(zip(lines, chosen, strict=True), key=lambda pair: pair[0].name)
    return [line for line, train in pairs if train], [line for line, train in pairs if not train]


def _counts(lines: Sequence[MetaLine], classes: Sequence[str]) -> str:
    counted = Counter(one[4] for line in lines for one in line.objects)
    return f"{counted.total()} objects: " + ", ".join(f"{counted[i]} {name}" for i, name in enumerate(classes))
