import pytest

from hatlite.data.datasets.record import CLIPPED, DROPPED
from hatlite.data.datasets.voc import VOCFromImage
from hatlite.data.datasets.voc_folder import DIFFICULT, SIZED, UNKNOWN
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


def test_degenerate_boxes_are_dropped_and_others_mended_on_request(write_voc):
    root = write_voc({"a": [("dog", (5, 5, 5, 5)), ("dog", (20, 3, 90, 9)), ("dog", (9, 3, 2, 9)), DOG]})
    dataset = VOCFromImage(root, "train", repair=True)
    assert dataset.record(0).boxes.tolist() == [[19, 2, 32, 9], [2, 3, 12, 9]]
    assert dataset.report.counts == {DROPPED: 2, CLIPPED: 1}
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


def test_boxes_of_one_pixel_and_those_that_count_from_0_need_no_request(write_voc):
    dataset = VOCFromImage(write_voc({"a": [("dog", (5, 5, 5, 5)), ("dog", (0, 0, 33, 25))]}), "train")
    assert dataset.record(0).boxes.tolist() == [[0, 0, 32, 24]]
    assert dataset.report.counts == {DROPPED: 1, CLIPPED: 1}


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ((20, 3, 90, 9), r"the box of 'dog' (xmin 20, ymin 3, xmax 90, ymax 9) reaches beyond the image of 32×24."),
        ((50, 60, 70, 80), "reaches beyond the image of 32×24."),
        ((12, 3, 2, 9), r"(xmin 12, ymin 3, xmax 2, ymax 9) ends before it begins."),
        ((2, 9.5, 12, 3), r"(xmin 2, ymin 9.5, xmax 12, ymax 3) ends before it begins."),
    ],
)
def test_boxes_that_are_none_of_their_image_are_refused(write_voc, box, said):
    with pytest.raises(DataError) as caught:
        VOCFromImage(write_voc({"a": [DOG, ("dog", box)]}), "train")
    assert said in str(caught.value)
    assert "Annotations/a.xml: the box of 'dog' (" in str(caught.value)
    assert "\n  Correct the annotations; or let repair=True (--repair of tools/voc2coco.py)" in str(caught.value)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ("0x0", "says that its image has width '0' and height '0'"),
        ("x", "has no size"),
        ("24x?", "says that its image has width '?' and height '24'"),
        ("-1x3", "says that its image has width '3' and height '-1'"),
        ("24.5x32", "says that its image has width '32' and height '24.5'"),
        ("24x", "says that its image has height '24'"),
        ("infxnan", "says that its image has width 'nan' and height 'inf'"),
    ],
)
def test_a_missing_size_is_refused_or_taken_from_the_image(write_voc, size, said):
    root = write_voc({"a": [DOG]}, size=size)
    with pytest.raises(DataError) as caught:
        VOCFromImage(root, "train")
    first, remedy = str(caught.value).splitlines()
    assert first.endswith(f"/a.xml {said}; expected a width and a height of whole pixels above 0.")
    assert "repair=True" in remedy
    dataset = VOCFromImage(root, "train", repair=True)
    assert (dataset.record(0).height, dataset.record(0).width) == (24, 32)
    assert dataset.report.counts == {SIZED: 1}


@pytest.mark.parametrize("repair", [False, True])
def test_a_size_that_is_not_the_picture_s_is_found_before_any_picture_is_read(write_voc, repair):
    root = write_voc({"a": [("dog", (1, 1, 9, 9))]}, size="32x24")
    write_voc({"b": [DOG]}, split="val")
    with pytest.raises(
        DataError, match=r"^image a\.jpg has 32×24 pixels where its annotation says 24×32, so its boxes"
    ):
        VOCFromImage(root, "train", repair=repair)
    assert len(VOCFromImage(root, "val", repair=repair)) == 1


def test_a_whole_size_may_be_written_as_a_fraction(write_voc):
    record = VOCFromImage(write_voc({"a": [DOG]}, size="24.0x 32.0 "), "train").record(0)
    assert (record.height, record.width) == (24, 32)


def test_an_image_that_cannot_give_a_size_is_named(write_voc):
    root = write_voc({"a": [DOG]}, size="x")
    (root / "JPEGImages/a.jpg").write_text("no image")
    with pytest.raises(DataError, match=r"a\.jpg \(8 bytes\) cannot be decoded; expected a JPEG or PNG file\.$"):
        VOCFromImage(root, "train", repair=True)


def test_all_problems_are_told_together(write_voc):
    root = write_voc({f"{i:02}": [("dog", (12, 3, 2, 9))] for i in range(12)})
    (root / "Annotations/03.xml").write_text("<html></html>")
    with pytest.raises(DataError) as caught:
        VOCFromImage(root, "train")
    first, *lines, remedy = str(caught.value).splitlines()
    assert first == "The annotations have 12 problems:"
    assert lines[0].endswith("03.xml is XML of another kind: it begins with <html>, and VOC's with <annotation>.")
    assert len(lines) == 11
    assert lines[-1] == "- and 2 more."
    assert remedy.startswith("  Correct the annotations; or let repair=True")


def test_unknown_classes_are_refused_by_name_or_left_out(write_voc):
    root = write_voc({"a": [DOG, CAT], "b": [("Dogs", (1, 1, 9, 9)), CAT]})
    with pytest.raises(DataError) as caught:
        VOCFromImage(root, "train", classes=["dog"])
    assert str(caught.value) == (
        "3 objects have a class that is not in classes (dog): 'cat' (2, such as in a.jpg), 'Dogs' (1, such as in"
        " b.jpg). Add it to classes, or leave such objects out with skip_unknown_classes=True.\n  Did you mean 'dog'?"
    )
    dataset = VOCFromImage(root, "train", classes=["dog"], skip_unknown_classes=True)
    assert [len(dataset.record(i).labels) for i in range(2)] == [1, 0]
    assert dataset.report.counts == {UNKNOWN: 3}
    assert str(dataset.report) == f"3 {UNKNOWN}: 'cat' (2, such as in a.jpg); 'Dogs' (1, such as in b.jpg)"


def test_one_object_of_a_class_in_another_case_is_told_so(write_voc):
    with pytest.raises(DataError) as caught:
        VOCFromImage(write_voc({"a": [DOG, ("rbc", (1, 1, 9, 9))]}), "train", classes=["RBC", "dog"])
    assert str(caught.value) == (
        "1 object has a class that is not in classes (RBC, dog): 'rbc' (1, such as in a.jpg). Add it to classes, or"
        " leave such objects out with skip_unknown_classes=True."
        "\n  'RBC' and 'rbc' differ in case only: spell them alike if they are one class."
    )


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ("RBC", "VOCFromImage: classes is 'RBC'; expected a list of names, such as ['RBC']."),
        ([1, 2], "VOCFromImage: classes has 1 (int); expected names as the annotations have them, in quotes."),
    ],
)
def test_classes_that_are_no_list_of_names_are_refused(write_voc, classes, said):
    with pytest.raises(DataError) as caught:
        VOCFromImage(write_voc({"a": [DOG]}), "train", classes=classes)
    assert str(caught.value) == said


def test_an_image_that_a_split_names_twice_is_refused(write_voc):
    root = write_voc({"a": [DOG], "b": [DOG]})
    (root / "ImageSets/Main/train.txt").write_text("a\nb\na  1\na\n")
    with pytest.raises(DataError) as caught:
        VOCFromImage(root, "train")
    assert str(caught.value) == (
        f"{root}/ImageSets/Main/train.txt names 1 of its images more than once, which would count them as often: a (3"
        " times). Leave one line for each; to go through the pictures several times in an epoch, take a RepeatDataset."
    )


def test_classes_that_no_object_has_are_refused_or_allowed(write_voc):
    root = write_voc({"a": [DOG, CAT]})
    with pytest.raises(DataError) as caught:
        VOCFromImage(root, "train", classes=["background", "cats", "cat", "dog"])
    assert str(caught.value) == (
        f"classes has 'background', 'cats', which no object in {root}/Annotations is; there are cat, dog. Take it out"
        " of classes (and count again for num_classes), or keep it with allow_absent_classes=True."
        "\n  Did you mean 'cat'?"
    )
    dataset = VOCFromImage(root, "train", classes=["cow", "cat", "dog"], allow_absent_classes=True)
    assert dataset.record(0).labels.tolist() == [2, 1]


def test_a_class_may_be_absent_from_a_split_that_another_split_has(write_voc):
    write_voc({"b": [CAT]}, split="val")
    assert len(VOCFromImage(write_voc({"a": [DOG]}), "train", classes=["cat", "dog"])) == 1


def test_a_class_that_is_there_twice_is_refused(write_voc):
    with pytest.raises(DataError, match=r"VOCFromImage: there is more than one class 'dog'; a label could not say"):
        VOCFromImage(write_voc({"a": [DOG]}), "train", classes=["dog", "cat", "dog"], allow_absent_classes=True)


def test_an_object_without_a_difficult_flag_is_none(write_voc):
    root = write_voc({"a": [DOG]})
    file = root / "Annotations/a.xml"
    file.write_text(file.read_text().replace("<difficult>0</difficult>", ""))
    assert VOCFromImage(root, "train")[0]["gt_classes"].tolist() == [0]


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
