"""Small data sets on the disk."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from hatlite.data.image import encode_jpeg

settings.register_profile("hatlite", deadline=None)  # no test asserts a time
settings.load_profile("hatlite")

HEIGHT, WIDTH = 24, 32


def jpeg(seed: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH)) -> bytes:
    return encode_jpeg(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))


@pytest.fixture
def coco_content() -> dict:
    """Two images; categories with gaps, in the wrong order; a crowd, a box that sticks out and an empty one."""
    return {
        "images": [
            {"id": 9, "file_name": "b.jpg", "height": HEIGHT, "width": WIDTH},
            {"id": 4, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH},
        ],
        "annotations": [
            {"id": 1, "image_id": 4, "category_id": 7, "bbox": [2, 3, 10, 8], "area": 60.0, "iscrowd": 0},
            {"id": 2, "image_id": 4, "category_id": 3, "bbox": [20, 10, 30, 5], "iscrowd": 1},
            {"id": 3, "image_id": 9, "category_id": 3, "bbox": [5, 5, 0, 4]},
        ],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
    }


@pytest.fixture
def write_coco(tmp_path: Path, coco_content: dict) -> Callable[..., Path]:
    """Write the content, as it is by then, in COCO's layout below a folder and return that folder."""

    def write(split: str = "val") -> Path:
        root = tmp_path / "coco"
        (root / "annotations").mkdir(parents=True, exist_ok=True)
        (root / f"{split}2017").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(coco_content))
        for image in coco_content["images"]:
            (root / f"{split}2017" / image["file_name"]).write_bytes(jpeg(image["id"]))
        return root

    return write


EDGES = ("xmin", "ymin", "xmax", "ymax")


def voc_object(name: str, box: tuple, difficult: int = 0) -> str:
    edges = "".join(f"<{edge}>{value}</{edge}>" for edge, value in zip(EDGES, box, strict=True))
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{edges}</bndbox></object>"


@pytest.fixture
def write_voc(tmp_path: Path) -> Callable[..., Path]:
    """Write image name → objects (name, box, difficult) as a Pascal VOC folder with one split; return the folder."""

    def write(images: dict[str, list[tuple]], split: str = "train", size: str = f"{HEIGHT}x{WIDTH}") -> Path:
        root = tmp_path / "voc"
        for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (root / part).mkdir(parents=True, exist_ok=True)
        height, width = size.split("x")
        tag = f"<size><width>{width}</width><height>{height}</height></size>"
        for seed, (name, objects) in enumerate(images.items()):
            body = "".join(voc_object(*found) for found in objects)
            (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{tag}{body}</annotation>")
            (root / "JPEGImages" / f"{name}.jpg").write_bytes(jpeg(seed))
        (root / "ImageSets/Main" / f"{split}.txt").write_text("\n".join(images))
        return root

    return write
