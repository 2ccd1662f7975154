"""Writes a split in COCO's layout: ``<root>/<split>2017`` and ``<root>/annotations/instances_<split>2017.json``."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hatlite.data.replace import replace_folder

__all__ = ["write_coco_split"]


def write_coco_split(
    root: Path, split: str, fill: Callable[[Path], dict[str, Any]], *, force: bool = False
) -> dict[str, Any]:
    """Let `fill` write the images into a folder and return their annotations; both appear when it has ended.

    Args:
        root: Folder of the data set.
        force: Replace a split that exists.

    Returns:
        The annotations.

    Raises:
        DataError: The split exists and `force` is not set.
    """
    ann_file = root / "annotations" / f"instances_{split}2017.json"
    with replace_folder(root / f"{split}2017", force=force) as folder:
        content = fill(folder)
        ann_file.parent.mkdir(exist_ok=True)
        ann_file.unlink(missing_ok=True)  # boxes of other pictures must not outlive them
        partial = ann_file.with_suffix(".partial")
        partial.write_text(json.dumps(content), encoding="utf-8")
    os.replace(partial, ann_file)
    return content
