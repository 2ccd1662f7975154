import json

import pytest

from hatlite.data.datasets.coco import CocoFromImage
from hatlite.data.datasets.synthetic import CLASSES
from hatlite.data.shapes_file import write_shapes
from hatlite.errors import DataError

OPTIONS = {"num_images": 3, "seed": 5, "size": (64, 80)}


def content(root, split):
    return json.loads((root / f"annotations/instances_{split}2017.json").read_text())


def test_what_is_written_is_a_coco_data_set(tmp_path):
    summary = write_shapes(tmp_path, "train", **OPTIONS)
    dataset = CocoFromImage(tmp_path / "train2017", tmp_path / "annotations/instances_train2017.json")
    assert len(dataset) == 3
    assert dataset.classes == list(CLASSES)
    assert dataset[2]["img"].shape == (64, 80, 3)
    assert not dataset.report
    assert summary.startswith("3 images with ")
    assert "of the shapes are occluded" in summary
    assert all(0 <= a["occluded"] <= 0.65 for a in content(tmp_path, "train")["annotations"])


def test_files_depend_on_seed_and_split_and_not_on_workers(tmp_path):
    write_shapes(tmp_path / "a", "train", **OPTIONS)
    write_shapes(tmp_path / "b", "train", **OPTIONS, num_workers=2)
    write_shapes(tmp_path / "c", "val", **OPTIONS)
    write_shapes(tmp_path / "d", "train", **{**OPTIONS, "seed": 6})
    first = [p.read_bytes() for p in sorted((tmp_path / "a/train2017").iterdir())]
    assert [p.read_bytes() for p in sorted((tmp_path / "b/train2017").iterdir())] == first
    assert content(tmp_path / "b", "train") == content(tmp_path / "a", "train")
    for other in ("c/val2017", "d/train2017"):
        assert not set(first) & {p.read_bytes() for p in (tmp_path / other).iterdir()}


def test_a_split_is_replaced_only_by_force(tmp_path):
    write_shapes(tmp_path, "train", **OPTIONS)
    with pytest.raises(DataError, match="train2017 exists already; pass --force"):
        write_shapes(tmp_path, "train", **OPTIONS)
    write_shapes(tmp_path, "train", **{**OPTIONS, "num_images": 1}, force=True)
    assert len(content(tmp_path, "train")["images"]) == 1


@pytest.mark.parametrize("wrong", [{"num_images": 0}, {"size": (64, 63)}, {"seed": -1}])
def test_wrong_numbers_are_refused(tmp_path, wrong):
    with pytest.raises(DataError, match="make_shapes: got .* expected at least one image, sides of at least 64"):
        write_shapes(tmp_path, "train", **{**OPTIONS, **wrong})
