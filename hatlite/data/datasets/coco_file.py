"""COCO annotation files: read, checked, with classes numbered from 0.

Rules:

- Class indices are contiguous, in the order of the category ids.
- Boxes are clipped and cleaned as :func:`~hatlite.data.datasets.record.clean_record` says; crowds are ignored regions.
- Annotations of an unknown category or of an unknown image are refused.
- Images without a box stay: they are background.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from hatlite.data.datasets.paths import require_path
from hatlite.data.datasets.record import ImageRecord, clean_record
from hatlite.data.datasets.report import DataReport, listed
from hatlite.errors import DataError

__all__ = ["read_coco_file"]

REQUIRED = {
    "images": {"id", "file_name", "height", "width"},
    "annotations": {"id", "image_id", "category_id", "bbox"},
    "categories": {"id", "name"},
}


def _parse(ann_file: Path) -> dict[str, Any]:
    try:
        content = json.loads(ann_file.read_text(encoding="utf-8"))
    except ValueError as cause:
        raise DataError(f"{ann_file} is not valid JSON ({cause}); expected COCO annotations.") from cause
    for part, keys in REQUIRED.items():
        entries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise DataError(f"{ann_file} has no list {part!r}; expected COCO's images, annotations and categories.")
        for number, entry in enumerate(entries):
            if not isinstance(entry, dict):
                raise DataError(f"{ann_file}: {part}[{number}] is {entry!r}; expected an object.")
            if missing := sorted(keys - set(entry)):
                raise DataError(f"{ann_file}: {part}[{number}] lacks {listed(missing)}.")
    return content


def _image_size(image: dict[str, Any], ann_file: Path) -> tuple[int, int]:
    height, width = image["height"], image["width"]
    if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
        raise DataError(
            f"{ann_file}: image {image['file_name']} has the size {height} × {width}; "
            "expected height and width in whole pixels."
        )
    return height, width


def _refuse_strangers(content: dict[str, Any], ann_file: Path) -> None:
    """Refuse repeated ids, and annotations whose category or image is not in the file."""
    for part in ("images", "categories"):
        seen = Counter(entry["id"] for entry in content[part])
        if repeated := [str(i) for i, count in seen.items() if count > 1]:
            raise DataError(f"{ann_file}: {part} with the same id: {listed(repeated)}.")
    for key, part in (("category_id", "categories"), ("image_id", "images")):
        known = {entry["id"] for entry in content[part]}
        if strangers := [a for a in content["annotations"] if a[key] not in known]:
            named = listed([f"annotation {a['id']} ({key} {a[key]})" for a in strangers])
            raise DataError(
                f"{ann_file}: {len(strangers)} annotations refer to {part} that the file does not define: {named}. "
                f"Add the {part} or remove the annotations."
            )


def _object(annotation: dict[str, Any], labels: dict[int, int], ann_file: Path) -> dict[str, Any]:
    try:
        x, y, w, h = map(float, annotation["bbox"])
        area = float(annotation.get("area", "nan"))
    except (TypeError, ValueError) as cause:
        raise DataError(
            f"{ann_file}: annotation {annotation['id']} has the bbox {annotation['bbox']!r} and the area "
            f"{annotation.get('area')!r}; expected four numbers (x, y, width, height) and a number."
        ) from cause
    crowd = bool(annotation.get("iscrowd", 0))
    values = {"box": (x, y, x + w, y + h), "label": labels[annotation["category_id"]], "area": area}
    return values | {"crowd": crowd, "ignore": crowd or bool(annotation.get("ignore", 0))}


def read_coco_file(ann_file: str | Path) -> tuple[list[str], list[ImageRecord], DataReport]:
    """Read COCO annotations.

    Returns:
        Class names, records in the order of the image ids, and what was clipped or dropped.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: The file is no COCO file, holds no image, or refers to categories or images that it does not define.
    """
    ann_file = require_path(ann_file, "a COCO annotation file")
    content = _parse(ann_file)
    if not content["images"]:
        raise DataError(f"{ann_file} lists no image; a data set needs at least one.")
    _refuse_strangers(content, ann_file)
    categories = sorted(content["categories"], key=lambda category: category["id"])
    labels = {category["id"]: label for label, category in enumerate(categories)}
    objects: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        objects[annotation["image_id"]].append(_object(annotation, labels, ann_file))
    report = DataReport()
    records = [
        clean_record(
            ImageRecord.of(image["id"], image["file_name"], _image_size(image, ann_file), objects[image["id"]]),
            report,
        )
        for image in sorted(content["images"], key=lambda image: image["id"])
    ]
    return [category["name"] for category in categories], records, report
