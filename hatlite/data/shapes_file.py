"""Writes drawn shapes as a data set in COCO's layout, or in Pascal VOC's."""

import functools
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hatlite.data.coco_layout import write_coco_split
from hatlite.data.datasets.synthetic import CLASSES, DrawnShape, draw_picture
from hatlite.data.image import encode_jpeg
from hatlite.data.parallel import ordered_map
from hatlite.data.voc_layout import write_voc_split
from hatlite.errors import DataError

__all__ = ["LAYOUTS", "write_shapes"]

LAYOUTS = {"coco": write_coco_split, "voc": write_voc_split}
"""How a data set lies in its folder, by name."""

JPEG_QUALITY = 92
MIN_IMAGE_SIDE = 64  # pixels; below, the smallest shapes have no form
OCCLUDED_FROM = 0.05  # share that must be covered for a shape to count as occluded


def _entry(shape: DrawnShape) -> dict[str, Any]:
    x1, y1, x2, y2 = (round(float(edge), 2) for edge in shape.box)
    return {
        "category_id": shape.label + 1,
        "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
        "area": round((x2 - x1) * (y2 - y1), 2),
        "iscrowd": 0,
        "occluded": round(shape.occluded, 4),
    }


def _draw_file(img_id: int, *, folder: Path, seed: tuple[int, int], size: tuple[int, int]) -> list[dict[str, Any]]:
    """Draw image `img_id` into its file and return its annotations, still without ids."""
    picture, shapes = draw_picture(np.random.default_rng([*seed, img_id]), size)
    (folder / f"{img_id:012d}.jpg").write_bytes(encode_jpeg(picture, JPEG_QUALITY))
    return [_entry(shape) | {"image_id": img_id} for shape in shapes]


def _content(annotations: list[dict[str, Any]], num_images: int, size: tuple[int, int]) -> dict[str, Any]:
    images = [
        {"id": i, "file_name": f"{i:012d}.jpg", "height": size[0], "width": size[1]} for i in range(1, num_images + 1)
    ]
    return {
        "info": {"description": "shapes drawn by tools/make_shapes.py"},
        "images": images,
        "annotations": [{"id": i, **annotation} for i, annotation in enumerate(annotations, 1)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES, 1)],
    }


def _summary(content: dict[str, Any]) -> str:
    """Return in a few lines what a written file holds: images, shapes per class, occlusion, sizes."""
    annotations = content["annotations"]
    names = Counter(CLASSES[a["category_id"] - 1] for a in annotations)
    occluded = sum(a["occluded"] >= OCCLUDED_FROM for a in annotations) / len(annotations)
    side = min(content["images"][0]["height"], content["images"][0]["width"])
    sides = [max(a["bbox"][2:]) / side for a in annotations]
    return (
        f"{len(content['images'])} images with {len(annotations)} shapes: "
        f"{', '.join(f'{names[name]} {name}' for name in CLASSES)}\n"
        f"{occluded:.0%} of the shapes are occluded by others ({OCCLUDED_FROM:.0%} or more of them covered)\n"
        f"sides from {min(sides):.0%} to {max(sides):.0%} of the image side, median {np.median(sides):.0%}"
    )


def write_shapes(
    out: Path,
    split: str,
    *,
    num_images: int,
    seed: int,
    size: tuple[int, int],
    num_workers: int = 0,
    layout: str = "coco",
    force: bool = False,
) -> str:
    """Draw `num_images` pictures into ``<out>/<split>2017`` and ``<out>/annotations/instances_<split>2017.json``.

    In the layout ``voc`` it is ``JPEGImages``, ``Annotations`` and ``ImageSets/Main/<split>.txt``, with names that
    begin with the split. A split appears when all is drawn. Picture i depends on `seed`, `split` and i alone; two
    splits never share a picture.

    Args:
        size: Height and width, pixels.
        layout: A key of :data:`LAYOUTS`.
        force: Replace a split that exists.

    Returns:
        A summary to print.

    Raises:
        DataError: Nothing to draw, a size too small, a negative seed, or the split exists and `force` is not set.
    """
    if num_images < 1 or min(size) < MIN_IMAGE_SIDE or seed < 0:
        raise DataError(
            f"make_shapes: got {num_images} images of {size[0]}x{size[1]} with seed {seed}; expected at least one "
            f"image, sides of at least {MIN_IMAGE_SIDE} pixels, and a seed from 0."
        )

    def fill(folder: Path) -> dict[str, Any]:
        draw = functools.partial(_draw_file, folder=folder, seed=(seed, zlib.crc32(split.encode())), size=size)
        drawn = ordered_map(draw, range(1, num_images + 1), num_workers)
        progress = tqdm(drawn, total=num_images, desc=f"drawing {split}", unit="image", mininterval=1)
        return _content([annotation for annotations in progress for annotation in annotations], num_images, size)

    return _summary(LAYOUTS[layout](out, split, fill, force=force))
