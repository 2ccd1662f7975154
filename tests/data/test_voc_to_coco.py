import json

import pytest

from hatlite.data.datasets.coco import CocoFromImage
from hatlite.data.datasets.voc import VOCFromImage
from hatlite.data.voc_to_coco import voc_to_coco
from hatlite.errors import DataError

OBJECTS = {"a": [("dog", (3, 4, 12, 9)), ("cat", (1, 1, 9, 9), 1)], "b": [("dog", (5, 5, 5, 5))]}


@pytest.mark.parametrize("copy", [True, False])
def test_both_forms_hold_the_same(write_voc, tmp_path, copy):
    root = write_voc(OBJECTS)
    summary = voc_to_coco(root, "train", tmp_path / "out", "val", copy=copy)
    assert summary.startswith("2 images and 2 boxes of 2 classes (cat, dog) written to")
    assert "1 boxes dropped" in summary
    ann_file = tmp_path / "out/annotations/instances_val2017.json"
    again = CocoFromImage(tmp_path / "out/val2017", ann_file)
    assert again.annotations() == VOCFromImage(root, "train").annotations()
    assert again[0]["gt_classes"].tolist() == [1, -1]
    assert (tmp_path / "out/val2017/a.jpg").is_symlink() is not copy
    assert json.loads(ann_file.read_text())["annotations"][1]["ignore"] == 1


def test_classes_may_be_given(write_voc, tmp_path):
    voc_to_coco(write_voc(OBJECTS), "train", tmp_path / "out", "train", classes=["dog", "cat"])
    content = json.loads((tmp_path / "out/annotations/instances_train2017.json").read_text())
    assert [c["name"] for c in content["categories"]] == ["dog", "cat"]


def test_an_existing_split_is_kept(write_voc, tmp_path):
    root = write_voc(OBJECTS)
    voc_to_coco(root, "train", tmp_path / "out", "train")
    with pytest.raises(DataError, match="exists already"):
        voc_to_coco(root, "train", tmp_path / "out", "train")


def test_a_part_of_the_classes_is_converted_on_request(write_voc, tmp_path):
    root = write_voc(OBJECTS, size="x")
    options = {"classes": ["cow", "cat"], "repair": True, "skip_unknown_classes": True, "allow_absent_classes": True}
    summary = voc_to_coco(root, "train", tmp_path / "out", "train", **options)
    assert summary.startswith("2 images and 1 boxes of 2 classes (cow, cat) written to")
    assert "2 objects passed over, their class is not in classes" in summary
    with pytest.raises(DataError, match="has no size"):
        voc_to_coco(root, "train", tmp_path / "other", "train")
