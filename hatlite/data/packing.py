"""Packs COCO's folders into an LMDB.

Every image is read and decoded before it is packed, so that a bad one is found now and not in a worker at night. Bad
images (missing, unreadable, truncated, of another size than annotated) are refused together, up to ten by name; with
`skip_bad` they are left out and counted. Boxes are cleaned as :func:`~hatlite.data.datasets.record.clean_record` says.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hatlite.data.datasets.coco_file import read_coco_file
from hatlite.data.datasets.folder import read_image_file
from hatlite.data.datasets.paths import require_path
from hatlite.data.datasets.record import ImageRecord
from hatlite.data.datasets.report import DataReport, listed
from hatlite.data.lmdb_store import write_lmdb
from hatlite.data.parallel import ordered_map
from hatlite.errors import DataError

__all__ = ["pack_coco"]

SKIPPED = "images skipped as unusable"


def _checked(record: ImageRecord, folder: Path) -> tuple[ImageRecord, bytes] | DataError:
    """Return the record with its file, or what is wrong with the file."""
    try:
        data = read_image_file(folder / record.name)
        record.decode(data)
    except DataError as problem:
        return problem
    return record, data


def _refuse(bad: int, total: int, report: DataReport) -> DataError:
    named = report.examples[SKIPPED]
    lines = "".join(f"\n- {problem}" for problem in named)
    more = f"\n- and {bad - len(named)} more" if bad > len(named) else ""
    return DataError(f"{bad} of {total} images cannot be packed:{lines}{more}\nMend them, or pass --skip-bad.")


def _entries(
    records: list[ImageRecord], folder: Path, *, num_workers: int, skip_bad: bool, report: DataReport
) -> Iterator[dict[str, Any]]:
    """Yield what is packed, in the order of `records`; refuse bad images once all were seen."""
    good = 0
    checked = ordered_map(functools.partial(_checked, folder=folder), records, num_workers)
    for result in tqdm(checked, total=len(records), desc="packing", unit="image", mininterval=1):
        if isinstance(result, DataError):
            report.add(SKIPPED, str(result))
        else:
            good += 1
            yield {"record": result[0].to_dict(), "image": result[1]}
    if good < len(records) and not (skip_bad and good):
        raise _refuse(len(records) - good, len(records), report)


def pack_coco(
    src: Path,
    target: Path,
    split: str,
    *,
    num_workers: int = 0,
    force: bool = False,
    skip_bad: bool = False,
    num_classes: int | None = None,
) -> str:
    """Pack ``<src>/<split>2017`` and ``<src>/annotations/instances_<split>2017.json`` into ``<target>/<split>_lmdb``.

    The folder appears when all is written and read back. Records stand in the order of the image ids.

    Args:
        num_workers: Threads that read and check images.
        force: Replace what was packed before.
        skip_bad: Leave bad images out.
        num_classes: What the annotations must define; None takes what they do.

    Returns:
        A summary to print.

    Raises:
        DataNotFoundError: The annotations or the image folder are missing.
        DataError: The annotations are unusable or of another number of classes, images are bad, or the target exists
            and `force` is not set.
    """
    ann_file = src / "annotations" / f"instances_{split}2017.json"
    classes, records, report = read_coco_file(ann_file)
    if num_classes not in (None, len(classes)):
        raise DataError(
            f"--num-classes is {num_classes}, but {ann_file} defines {len(classes)}: {listed(classes)}; leave the flag"
            " out to take those."
        )
    folder = require_path(src / f"{split}2017", "the image folder")
    out = target / f"{split}_lmdb"
    entries = _entries(records, folder, num_workers=num_workers, skip_bad=skip_bad, report=report)

    def meta() -> dict[str, Any]:
        return {"classes": classes, "source": f"COCO {split}2017", "report": report.counts}

    count = write_lmdb(out, entries, meta, force=force)
    return f"{out}: {count} images, {len(classes)} classes ({listed(classes)})\n{report}"
