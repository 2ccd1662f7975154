import pytest

from hatlite.data.datasets.record import CLIPPED, DROPPED
from hatlite.data.datasets.voc import DIFFICULT, VOCFromImage
from hatlite.errors import DataError, DataNotFoundError

DOG = ("dog", (3, 4, 12, 9))
CAT = ("cat", (1, 1, 32, 24))


def test_boxes_become_continuous_edges(write_voc):
    dataset = VOCFromImage(write_voc({"a": [DOG, CAT]}), "train")
    assert dataset.classes == ["cat", "dog"]
    assert dataset.record(0).boxes.tolist() == [[2, 3, 12, 9], [0, 0, 32, 24]]
    assert dataset.record(0).labels.tolist() == [1, 0]
    assert dataset.record(0).areas.tolist() == [60, 768]
    assert not dataset.report


def test_samples_follow_the_order_of_the_split(write_voc):
    dataset = VOCFromImage(write_voc({"b": [DOG], "a": []}), "train")
    found = [dataset[i] for i in range(len(dataset))]
    assert [(s["img_id"], s["img_name"], len(s["gt_bboxes"])) for s in found] == [(1, "b.jpg", 1), (2, "a.jpg", 0)]
    assert found[0]["img"].shape == (24, 32, 3)


def test_degenerate_boxes_are_dropped_and_reported(write_voc):
    dataset = VOCFromImage(write_voc({"a": [("dog", (5, 5, 5, 5)), ("dog", (20, 3, 90, 9)), DOG]}), "train")
    assert dataset.record(0).boxes.tolist() == [[19, 2, 32, 9], [2, 3, 12, 9]]
    assert dataset.report.counts == {DROPPED: 1, CLIPPED: 1}
    assert "a.jpg (4, 4, 5, 5)" in str(dataset.report)


def test_difficult_objects_are_ignored_or_left_out(write_voc):
    root = write_voc({"a": [DOG, (*CAT, 1)]})
    kept = VOCFromImage(root, "train")
    assert kept[0]["gt_classes"].tolist() == [1, -1]
    assert [(a["ignore"], a["iscrowd"]) for a in kept.annotations()["annotations"]] == [(0, 0), (1, 0)]
    without = VOCFromImage(root, "train", keep_difficult=False)
    assert without[0]["gt_classes"].tolist() == [1]
    assert without.report.counts == {DIFFICULT: 1}


def test_classes_are_those_of_all_splits(write_voc):
    write_voc({"a": [DOG]}, split="val")
    assert VOCFromImage(write_voc({"b": [CAT]}), "train").classes == ["cat", "dog"]


def test_given_classes_keep_their_order(write_voc):
    dataset = VOCFromImage(write_voc({"a": [DOG, CAT]}), "train", classes=["dog", "cat"])
    assert dataset.record(0).labels.tolist() == [0, 1]


def test_unknown_classes_are_refused_by_name(write_voc):
    root = write_voc({"a": [DOG, CAT]})
    with pytest.raises(DataError, match=r"1 objects have a class that is not in classes \(dog\): 'cat' in a\.jpg\."):
        VOCFromImage(root, "train", classes=["dog"])


@pytest.mark.parametrize("size", ["0x0", "x", "24x?"])
def test_a_missing_size_is_taken_from_the_image(write_voc, size):
    record = VOCFromImage(write_voc({"a": [DOG]}, size=size), "train").record(0)
    assert (record.height, record.width) == (24, 32)


def test_an_empty_split_is_refused(write_voc):
    with pytest.raises(DataError, match=r"train\.txt is empty; a data set needs at least one image"):
        VOCFromImage(write_voc({}), "train")


def test_annotations_without_any_object_are_refused(write_voc):
    with pytest.raises(DataError, match="VOCFromImage: the annotations name no class"):
        VOCFromImage(write_voc({"a": []}), "train")


def test_an_unknown_split_names_the_nearest(write_voc):
    with pytest.raises(DataNotFoundError, match=r"(?s)the list of the split 'trian' is expected.*mean '.*train\.txt'"):
        VOCFromImage(write_voc({"a": [DOG]}), "trian")


def test_a_missing_data_set_is_named(tmp_path):
    with pytest.raises(DataNotFoundError, match="a Pascal VOC data set is expected at .*nowhere"):
        VOCFromImage(tmp_path / "nowhere", "train")


@pytest.mark.parametrize("file", ["Annotations/a.xml", "JPEGImages/a.jpg"])
def test_missing_files_are_named(write_voc, file):
    root = write_voc({"a": [DOG], "b": [DOG]})
    (root / file).unlink()
    with pytest.raises(DataNotFoundError, match="1 of 2 files named by the split are missing in .*: a"):
        VOCFromImage(root, "train")


def test_broken_xml_is_named(write_voc):
    root = write_voc({"a": [DOG]})
    (root / "Annotations/a.xml").write_text("<annotation>")
    with pytest.raises(DataError, match=r"a\.xml is not valid XML"):
        VOCFromImage(root, "train")


@pytest.mark.parametrize("box", [("x", 1, 5, 5), ("", 1, 5, 5)])
def test_a_malformed_box_is_refused(write_voc, box):
    with pytest.raises(DataError, match=r"a\.xml: an object 'dog' has the bndbox .* expected four numbers"):
        VOCFromImage(write_voc({"a": [("dog", box)]}), "train")


def test_an_object_without_a_name_is_refused(write_voc):
    with pytest.raises(DataError, match=r"a\.xml: an object at .* has no name"):
        VOCFromImage(write_voc({"a": [DOG, ("", (1, 1, 5, 5))]}), "train")
