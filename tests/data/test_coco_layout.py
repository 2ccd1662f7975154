import json
import os

import pytest

from hatlite.data.coco_layout import write_coco_split
from hatlite.errors import DataError


def fill(folder):
    (folder / "1.jpg").touch()
    return {"images": [1]}


def test_images_and_annotations_lie_where_coco_has_them(tmp_path):
    assert write_coco_split(tmp_path / "set", "train", fill) == {"images": [1]}
    assert sorted(os.listdir(tmp_path / "set")) == ["annotations", "train2017"]
    assert os.listdir(tmp_path / "set/train2017") == ["1.jpg"]
    assert os.listdir(tmp_path / "set/annotations") == ["instances_train2017.json"]
    assert json.loads((tmp_path / "set/annotations/instances_train2017.json").read_text()) == {"images": [1]}


def test_a_split_is_replaced_only_by_force(tmp_path):
    write_coco_split(tmp_path, "train", fill)
    with pytest.raises(DataError, match="train2017 exists already; pass --force"):
        write_coco_split(tmp_path, "train", fill)
    write_coco_split(tmp_path, "train", lambda folder: {"images": []}, force=True)
    assert os.listdir(tmp_path / "train2017") == []


def test_a_failure_leaves_nothing(tmp_path):
    def fail(folder):
        fill(folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_coco_split(tmp_path, "train", fail)
    assert os.listdir(tmp_path) == []
